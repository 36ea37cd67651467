package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/flow-manager/flow-manager/api/auth"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/api/socketio"
)

// openAccess reads who may come in, and what the connection to them is secured with, where either was asked for.
func (m *manager) openAccess(s *settings) error {
	var err error
	if s.AuthFile != "" {
		if m.tokens, err = auth.Open(s.AuthFile); err != nil {
			return usageError{err}
		}
	}
	if s.TLSCert != "" {
		if m.certificate, err = openCertificate(s.TLSCert, s.TLSKey); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// authenticate is nil where there is nothing to log in with.
func (m *manager) authenticate() socketio.Authenticate {
	if m.tokens == nil {
		return nil
	}
	return func(_ context.Context, given json.RawMessage, remote string) (session.Principal, context.Context, error) {
		e, life, err := m.tokens.Login(given, remote)
		return session.Principal{Name: e.Name, Role: e.Role, Token: e.ID}, life, err
	}
}

// obey reads tokens and certificate again at every signal.
func (m *manager) obey(ctx context.Context, again <-chan os.Signal) error {
	for {
		select {
		case <-again:
			m.reload()
		case <-ctx.Done():
			return nil
		}
	}
}

// reload leaves as it was what cannot be read.
func (m *manager) reload() {
	if m.audit != nil {
		if err := m.audit.reopen(); err != nil {
			m.log.Error().Err(err).Str("operation", "reload").Msg("the audit log could not be closed; it is opened again all the same")
		}
	}
	if m.tokens != nil {
		if err := m.tokens.Reload(); err != nil {
			m.log.Error().Err(err).Str("operation", "reload").Msg("the tokens stay as they were")
		} else {
			m.log.Info().Str("operation", "reload").Int("tokens", m.tokens.Count()).Msg("tokens read again")
		}
	}
	if m.certificate != nil {
		if err := m.certificate.reload(); err != nil {
			m.log.Error().Err(err).Str("operation", "reload").Msg("the certificate stays as it was")
		} else {
			m.log.Info().Str("operation", "reload").Msg("certificate read again")
		}
	}
}
