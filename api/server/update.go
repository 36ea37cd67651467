package server

import (
	"fmt"
	"strings"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/api/session"
	"github.com/flow-manager/flow-manager/controller/plan"
	"github.com/flow-manager/flow-manager/store"
)

// updateContainer changes what its merge patch names and leaves the rest.
func (s *Server) updateContainer(c session.Session, r *session.Request) error {
	in := &api.UpdateRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	policyErr := s.patchPolicyError(c, in)
	return s.declareAs(c, r, &in.Declaring, api.ContainerUpdated, "updated", store.Declaration{ContainerID: in.ContainerID, Change: func(w *store.Wish) error {
		if err := w.Alive(); err != nil {
			return err
		}
		next, err := applyPatch(&w.Spec, w.Name, in)
		if err != nil {
			return err
		}
		if policyErr != nil {
			return policyErr
		}
		w.Respecify(next)
		w.Retry, w.Pull, w.TakeCode = in.Retry, in.Pull, in.CodePath != ""
		return s.Policy.AdmitPorts(&w.Spec, w.Others)
	}})
}

// patchPolicyError is what the policy has against a patch of what stands now. That there is nothing to patch, or that the patch
// does not fit, is for the transaction to tell.
func (s *Server) patchPolicyError(c session.Session, in *api.UpdateRequest) error {
	record, err := s.Store.Resolve(in.ContainerID)
	if err != nil {
		return nil
	}
	next, err := applyPatch(&record.Spec, record.Name, in)
	if err != nil {
		return nil
	}
	return s.policyError(c, record.Name, &next)
}

// applyPatch returns a spec after an update, validated.
func applyPatch(s *api.Spec, name string, in *api.UpdateRequest) (api.Spec, error) {
	next, bad := *s, []api.FieldError(nil)
	if len(in.Spec) > 0 {
		next, bad = api.MergePatch(s, in.Spec, name)
	}
	if next.DesiredState == "" {
		next.DesiredState = s.DesiredState
	}
	if in.CodePath != "" {
		code := api.Code{Path: in.CodePath}
		if next.Code != nil {
			code.Target = next.Code.Target
		}
		next.Code = &code
		next.Default(name)
	}
	if len(bad) == 0 {
		bad = next.Validate()
		for i := range bad {
			bad[i].Field = "spec." + bad[i].Field
		}
	}
	if len(bad) > 0 {
		return api.Spec{}, api.Invalid(bad...)
	}
	return next, nil
}

// rollbackContainer declares again what was declared before; whether the container runs stays as it is.
func (s *Server) rollbackContainer(c session.Session, r *session.Request) error {
	in := &api.RollbackRequest{}
	if err := decode(r, in); err != nil {
		return err
	}
	former, policyErr := s.rollbackTarget(c, in)
	return s.declareAs(c, r, &in.Declaring, api.ContainerUpdated, "rolled_back", store.Declaration{ContainerID: in.ContainerID, Change: func(w *store.Wish) error {
		if err := w.Alive(); err != nil {
			return err
		}
		if policyErr != nil {
			return policyErr
		}
		state := w.Spec.DesiredState
		w.Spec, w.CodeOf = former.Spec, former.Code
		w.Spec.DesiredState = state
		return s.Policy.AdmitPorts(&w.Spec, w.Others)
	}})
}

// rollbackTarget is what to go back to, or what is against that. It is told within the transaction, for a repeated request has its
// first result.
func (s *Server) rollbackTarget(c session.Session, in *api.RollbackRequest) (*store.Declared, error) {
	record, err := s.Store.Resolve(in.ContainerID)
	if err != nil {
		return nil, err
	}
	former, err := s.former(record, in.ToGeneration)
	if err != nil {
		return nil, err
	}
	spec := former.Spec
	spec.Default(record.Name)
	if bad := spec.Validate(); len(bad) > 0 {
		return nil, api.Invalid(api.FieldError{Field: "to_generation", Message: fmt.Sprintf("what generation %d declared is not taken any more: %s: %s; update_container can declare the rest of it", former.Generation, bad[0].Field, bad[0].Message)})
	}
	return former, s.policyError(c, record.Name, &former.Spec)
}

// former finds what to go back to: the generation that is asked for, or what runs where that is not what is declared, or the
// newest of another template or other code.
func (s *Server) former(r *store.Record, generation *int64) (*store.Declared, error) {
	history, err := s.Store.History(r.ID)
	if err != nil {
		return nil, fmt.Errorf("read what was declared before: %w", err)
	}
	kept := make([]string, len(history))
	back := earlier(r)
	for i := len(history) - 1; i >= 0; i-- {
		d := &history[i]
		kept[i] = fmt.Sprint(d.Generation)
		switch {
		case generation == nil && back(d), generation != nil && *generation == d.Generation:
			return d, nil
		}
	}
	if generation == nil {
		return nil, api.Errorf(api.ConflictError, "container %s was never made from another template or of other code, so there is nothing to go back to", r.Name).For("", "", r.ID)
	}
	return nil, api.Invalid(api.FieldError{Field: "to_generation", Message: fmt.Sprintf("%d is not kept; these are: %s", *generation, strings.Join(kept, ", "))})
}

// earlier tells which specs a rollback without a generation goes back to: what stands, where that is not what is declared, and
// else any that would be another container, other code or other limits.
func earlier(r *store.Record) func(d *store.Declared) bool {
	p := &r.Current
	if p.Token != "" && !plan.Serving(r) {
		return func(d *store.Declared) bool {
			return api.TemplateHash(&d.Spec) == p.TemplateHash && d.Code == p.AskedBy
		}
	}
	if p.Token != "" && p.Resources != r.Spec.Resources {
		return func(d *store.Declared) bool {
			return api.TemplateHash(&d.Spec) == p.TemplateHash && d.Code == p.AskedBy && d.Spec.Resources == p.Resources
		}
	}
	hash := api.TemplateHash(&r.Spec)
	return func(d *store.Declared) bool {
		return api.TemplateHash(&d.Spec) != hash || d.Code != r.Code || d.Spec.Resources != r.Spec.Resources
	}
}
