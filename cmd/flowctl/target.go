package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"os"
)

// target is a server and what it takes to get in there.
type target struct {
	Server string `yaml:"server"`
	Token  string `yaml:"token,omitempty"`
	CA     string `yaml:"tls_ca,omitempty"`
}

// or is t, and what t leaves open as other has it. A token and authorities are for the server that they were given with.
func (t target) or(other target) target {
	if t.Server != "" && other.Server != "" && t.Server != other.Server {
		return t
	}
	return target{cmp.Or(t.Server, other.Server), cmp.Or(t.Token, other.Token), cmp.Or(t.CA, other.CA)}
}

// resolve finds out whom to talk to: flags come first, then the environment, then the context in use. A context that was
// asked for by its name is a flag.
func (a *app) resolve() error {
	kept, err := a.chosen()
	if err != nil {
		return err
	}
	environment := target{os.Getenv("FLOWCTL_SERVER"), os.Getenv("FLOWCTL_TOKEN"), os.Getenv("FLOWCTL_TLS_CA")}
	if a.context != "" {
		a.at = a.given.or(kept).or(environment) // of another server, nothing in it was meant
	} else {
		a.at = given(a.given, environment).or(kept)
	}
	a.at.Server = cmp.Or(a.at.Server, defaultServer)
	return nil
}

// given is what flags and environment say together: both are of who calls.
func given(flags, environment target) target {
	return target{cmp.Or(flags.Server, environment.Server), cmp.Or(flags.Token, environment.Token), cmp.Or(flags.CA, environment.CA)}
}

// chosen is the context that was asked for or is in use; where there is none, nothing is kept.
func (a *app) chosen() (target, error) {
	if a.context != "" && a.given.Server != "" {
		return target{}, usagef("--context and --server name two servers: give one of them")
	}
	kept, err := readContexts()
	if err != nil {
		return target{}, err
	}
	name := cmp.Or(a.context, kept.Current)
	t, ok := kept.Contexts[name]
	if name != "" && !ok {
		return target{}, kept.unknown(name)
	}
	return t, nil
}

// connect finds out once whom to talk to: who goes on over lost connections is not led to another server by another's hand.
func (a *app) connect(ctx context.Context) (*Client, error) {
	if a.at.Server == "" {
		if err := a.resolve(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := within(ctx, a.timeout, fmt.Sprintf("no connection to %s", a.at.Server))
	defer cancel()
	roots, err := a.roots()
	if err != nil {
		return nil, err
	}
	return Dial(ctx, a.at.Server, a.at.Token, roots)
}

// roots are the authorities of --tls-ca, in the place of the system's.
func (a *app) roots() (*x509.CertPool, error) {
	if a.at.CA == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(a.at.CA)
	if err != nil {
		return nil, usagef("--tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usagef("--tls-ca %s holds no certificate in PEM form", a.at.CA)
	}
	return roots, nil
}
