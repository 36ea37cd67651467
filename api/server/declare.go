package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/store"
)

func (s *Server) createContainer(c session.Session, r *session.Request) error {
	in, err := decodeDeclaration(r)
	if err != nil {
		return err
	}
	policyErr := s.policyError(c, in.Name, &in.Spec)
	return s.declare(c, r, &in.Declaring, api.ContainerCreated, store.IntentSpec, store.Declaration{Name: in.Name, Change: func(w *store.Wish) error {
		if w.Exists {
			return api.Errorf(api.ConflictError, "the name %q is taken by container %s; use another, or apply_container to change that one", w.Name, w.ID).For("", "", w.ID)
		}
		if bad := api.ValidateNewName(in.Name); len(bad) > 0 {
			return api.Invalid(bad...)
		}
		if policyErr != nil {
			return policyErr
		}
		w.Specify(in.Spec, in.Labels, api.DesiredCreated)
		return s.Policy.AdmitPorts(&w.Spec, w.Others)
	}})
}

func (s *Server) applyContainer(c session.Session, r *session.Request) error {
	in, err := decodeDeclaration(r)
	if err != nil {
		return err
	}
	if in.Name == "" {
		return api.Invalid(api.FieldError{Field: "name", Message: "is required: it says which container this is"})
	}
	policyErr := s.policyError(c, in.Name, &in.Spec)
	event := api.ContainerCreated
	return s.declare(c, r, &in.Declaring, event, store.IntentSpec, store.Declaration{Name: in.Name, IfVersion: in.ResourceVersion, Change: func(w *store.Wish) error {
		if err := w.Alive(); err != nil {
			return err
		}
		if bad := api.ValidateNewName(in.Name); !w.Exists && len(bad) > 0 {
			return api.Invalid(bad...)
		}
		if policyErr != nil {
			return policyErr
		}
		w.Specify(in.Spec, in.Labels, api.DesiredRunning)
		return s.Policy.AdmitPorts(&w.Spec, w.Others)
	}})
}

// decodeDeclaration decodes a whole declaration and names all that is wrong with it at once.
func decodeDeclaration(r *session.Request) (*api.DeclareRequest, error) {
	in := &api.DeclareRequest{}
	if err := decode(r, in); err != nil {
		return nil, api.AsError(err).Masked(api.NewRedactor(in.Environment))
	}
	return in, nil
}

// policyError is what the policy has against a spec now, nil for nothing. It is asked outside of the store's transaction, for it
// looks at the disk, and told within: a repeated request has its first result, whatever the policy says by then.
func (s *Server) policyError(c session.Session, name string, spec *api.Spec) error {
	err := s.Policy.Admit(c.Context(), name, spec, c.Principal().Role.Allows(api.Admin))
	if err == nil {
		return nil
	}
	return api.AsError(err).Masked(api.NewRedactor(spec.Environment))
}

func (s *Server) startContainer(c session.Session, r *session.Request) error {
	return s.change(c, r, api.ContainerStarted, store.IntentRunning, func(w *store.Wish) error { w.AskStart(); return nil })
}

func (s *Server) restartContainer(c session.Session, r *session.Request) error {
	return s.change(c, r, api.ContainerRestart, store.IntentRestart, func(w *store.Wish) error { w.AskRestart(); return nil })
}

func (s *Server) stopContainer(c session.Session, r *session.Request) error {
	return s.change(c, r, api.ContainerStopped, store.IntentStopped, func(w *store.Wish) error { w.AskStop(); return nil })
}

func (s *Server) pauseContainer(c session.Session, r *session.Request) error {
	return s.change(c, r, api.ContainerPaused, store.IntentPaused, (*store.Wish).AskPause)
}

func (s *Server) unpauseContainer(c session.Session, r *session.Request) error {
	return s.change(c, r, api.ContainerUnpaused, store.IntentRunning, (*store.Wish).AskUnpause)
}

// change declares a new desired state of a standing container.
func (s *Server) change(c session.Session, r *session.Request, event string, intent store.Intent, edit func(w *store.Wish) error) error {
	in := &api.ContainerRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	return s.declare(c, r, &in.Declaring, event, intent, store.Declaration{ContainerID: in.ContainerID, Change: func(w *store.Wish) error {
		if err := w.Alive(); err != nil {
			return err
		}
		return edit(w)
	}})
}

func (s *Server) deleteContainer(c session.Session, r *session.Request) error {
	in := &api.DeleteRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	if in.Force && !c.Principal().Role.Allows(api.Admin) {
		return api.Errorf(api.PermissionError, "only an admin may delete with force: it forgets a container that may still run; delete it without, or ask an admin").For("", in.RequestID, "")
	}
	return s.declare(c, r, &in.Declaring, api.ContainerDeleted, store.IntentDeleted, store.Declaration{ContainerID: in.ContainerID, Change: func(w *store.Wish) error {
		w.AskDelete(in.RemoveVolumes, in.Force)
		return nil
	}})
}

// decode reads a request and names all that is wrong with it: what cannot be read, else what is out of bounds.
func decode(r *session.Request, in interface{ Validate() []api.FieldError }) error {
	bad := api.Decode(r.Data, in)
	if len(bad) == 0 {
		bad = in.Validate()
	}
	if len(bad) > 0 {
		return api.Invalid(bad...)
	}
	return nil
}

// declareAs is declare for a new spec, whose answer calls the outcome by a word of its own.
func (s *Server) declareAs(c session.Session, r *session.Request, in *api.Declaring, event, statusWord string, d store.Declaration) error {
	return s.write(c, r, in, pendingAnswer{event: event, request: store.Accepted{Intent: store.IntentSpec}, statusWord: statusWord}, d)
}

// declare writes the wish, acknowledges it once it is on disk, and tracks the answer that the session is to get.
func (s *Server) declare(c session.Session, r *session.Request, in *api.Declaring, event string, intent store.Intent, d store.Declaration) error {
	return s.write(c, r, in, pendingAnswer{event: event, request: store.Accepted{Intent: intent}}, d)
}

func (s *Server) write(c session.Session, r *session.Request, in *api.Declaring, a pendingAnswer, d store.Declaration) error {
	if !s.answers.hasRoom(c) {
		return api.RateLimited(time.Second, "%d accepted requests of this session wait for their outcome; wait for some of them", maxPendingAnswers).For("", in.RequestID, "")
	}
	d.Intent = a.request.Intent
	d.Principal, d.Operation, d.IfGeneration = c.Principal().Name, r.Event, in.IfGeneration
	if in.IdempotencyKey != nil {
		d.Key = *in.IdempotencyKey
	}
	if in.DryRun {
		return s.dryRun(c, r, in, d)
	}
	if d.Key != "" {
		d.BodyHash = bodyHash(r)
	}
	// A client that has said goodbye meanwhile has asked for it all the same.
	result, err := s.Store.Declare(context.WithoutCancel(c.Context()), d)
	if err != nil {
		return forRequest(err, in.RequestID)
	}
	s.Fail("after-accept")
	p := &a
	if r.Event == api.ApplyContainer && !result.Created {
		p.event = api.ContainerUpdated
	}
	p.session, p.operation, p.requestID, p.id = c, r.Event, in.RequestID, result.ID
	p.request.Generation, p.level, p.unchanged = result.Generation, store.LevelSeen, !result.Changed && !result.Replayed
	if result.Record != nil {
		p.name, p.superseded = result.Record.Name, result.Record.Generation > result.Generation
	}
	s.accepted(r, in, &result, p)
	s.trackAnswer(p)
	return nil
}

// forRequest is what a client is told of a declaration that was not written.
func forRequest(err error, requestID string) error {
	e := api.AsError(err)
	switch {
	case errors.Is(err, store.ErrNotWritable):
		e = api.Errorf(api.SystemError, "the manager cannot write its store, so nothing was declared; its disk needs free space, or has errors").With("reason", api.ReasonStoreNotWritable).Because(err)
	case errors.Is(err, store.ErrClosed):
		e = api.Errorf(api.SystemError, "the manager is shutting down; nothing was declared").With("reason", api.ReasonShuttingDown).Because(err)
	}
	return e.For("", requestID, "")
}

// accepted acknowledges what is on disk, at once or, where the client waits for the outcome, with that.
func (s *Server) accepted(r *session.Request, in *api.Declaring, result *store.Result, p *pendingAnswer) {
	ack := map[string]any{"ok": true, "container_id": result.ID, "generation": result.Generation, "changed": result.Changed}
	if in.RequestID != "" {
		ack["request_id"] = in.RequestID
	}
	if result.Record != nil {
		ack["container"] = s.view(r.Session, result.Record)
	}
	s.auditAccepted(r, in, result)
	switch {
	case !r.WantsAck():
	case in.Wait == nil:
		r.AckWait(r.Session.Context(), api.Encode(ack))
	default:
		s.await(r, *p, in.Waiting, ack)
	}
}

// bodyHash tells a repeated request from another one; request_id may differ between them.
func bodyHash(r *session.Request) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(r.Data, &members) == nil {
		delete(members, "request_id")
	}
	sum := sha256.Sum256(api.Encode([]any{r.Event, members}))
	return hex.EncodeToString(sum[:])
}

// statusView is a status as clients see it, with what is not stored.
type statusView struct {
	api.Status
	SocketPath        string     `json:"socket_path"`
	SocketConnected   bool       `json:"socket_connected"`
	LastCommunication *time.Time `json:"last_communication"`
	Uptime            string     `json:"uptime"`
	UptimeSeconds     int64      `json:"uptime_seconds"`
}

// view is a container as clients see it.
type view struct {
	api.Container
	Status statusView `json:"status"`
}

func (s *Server) view(reader session.Session, r *store.Record) view {
	r = shown(reader, r)
	c := r.Container
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	return view{c, s.statusView(r)}
}

func (s *Server) statusView(r *store.Record) statusView {
	j := statusView{Status: r.Status, SocketPath: s.Messenger.Path(r.ID)}
	var last time.Time
	if j.SocketConnected, last = s.Messenger.Facts(r.ID); !last.IsZero() {
		last = last.UTC()
		j.LastCommunication = &last
	}
	j.Uptime, j.UptimeSeconds = uptime(&r.Status, time.Now())
	if away := s.engineAway(); away != nil {
		for _, kind := range []string{api.Ready, api.Available} {
			j.SetCondition(api.Condition{Type: kind, Status: api.Unknown, Reason: api.ReasonEngineUnavailable, Message: away.Error(),
				ObservedGeneration: r.Status.ObservedGeneration, LastTransitionAt: away.Since.UTC()})
		}
	}
	return j
}
