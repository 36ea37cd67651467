package plan

import (
	"fmt"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// Classify sorts what bears a record's id into what is its own and what is not.
func Classify(r *store.Record, seen []Container) Observation {
	var o Observation
	for i := range seen {
		c := seen[i]
		switch {
		case r.Current.Owns(c.Token, c.DockerID, c.Name):
			o.Current = &c
		case r.Candidate.Owns(c.Token, c.DockerID, c.Name):
			o.Candidate = &c
		case r.Previous.Owns(c.Token, c.DockerID, c.Name):
			o.Previous = &c
		case r.Owns(c.Token, c.DockerID, c.Name):
			o.Superseded = append(o.Superseded, c)
		default:
			o.Foreign = append(o.Foreign, c)
		}
	}
	return o
}

// Serving reports whether the current placement was made from a template that serves the declaration, and has its code.
func Serving(r *store.Record) bool { return serves(&r.Current, r) }

func serves(p *store.Placement, r *store.Record) bool {
	return p.AskedBy == r.Code && Fits(p, &r.Spec)
}

// Fits is Serving but for the code that is in the container's mount.
func Fits(p *store.Placement, s *api.Spec) bool {
	return p.Token != "" && !p.Outdated && p.TemplateHash == api.TemplateHash(s) && api.ResourceCost(p.Resources, s.Resources) < api.CostRecreate
}

// Template names what the spec asks a container to be made from and to run.
func Template(r *store.Record) string { return templateName(api.TemplateHash(&r.Spec), r.Code) }

// madeFrom is Template for what a container was made from and was given to run.
func madeFrom(p *store.Placement) string { return templateName(p.TemplateHash, p.AskedBy) }

func templateName(hash string, code int64) string {
	if code == 0 {
		return hash
	}
	return fmt.Sprintf("%s-%d", hash, code)
}

// WantsRun reports whether a process is declared.
func WantsRun(r *store.Record) bool {
	return r.Spec.DesiredState == api.DesiredRunning || r.Spec.DesiredState == api.DesiredPaused
}

// Exhausted reports whether what is declared was tried as often as it may be, and taken back. It is tried all the same where
// what stands is not known to work either.
func Exhausted(r *store.Record) bool {
	t := r.Trial(Template(r))
	return t.Failed != "" && t.Attempts >= max(r.Spec.UpdatePolicy.MaxAttempts, 1) && !Serving(r) && r.Current.Stable
}

// OnTrial reports whether the current container has yet to prove itself.
func OnTrial(r *store.Record) bool { return r.Previous.Token != "" }

// stale reports whether the newest run of the current container was of other code than its next one.
func stale(r *store.Record) bool { return r.Current.Code != r.Current.Runs }

// Aside is the name of a container that does not stand yet, former that of one that does not any more. They differ, for a
// create that the engine finishes late may still take the first.
func Aside(r *store.Record, token string) string { return r.Name + "." + token }

func former(r *store.Record, token string) string { return Aside(r, token) + ".former" }

// maxUnseen is how many intents that led to nothing yet are kept for a container that may still come of them.
const maxUnseen = 4

// unseen are the placements that no container is known of: the engine may finish a create long after we stopped waiting for it.
func unseen(superseded []store.Placement) []store.Placement {
	var kept []store.Placement
	for _, p := range superseded {
		if p.DockerID == "" {
			kept = append(kept, p)
		}
	}
	return kept[max(0, len(kept)-maxUnseen):]
}

// TakeOver makes a container of ours that the record did not know one of its own: the current one, where there is none, and
// else one that is to go. The record may know what it was to be made from, and not that it was. Of others the ports that were picked
// for it and its limits are not known any more; one that has such ports is made anew. code is what its next start would run.
func TakeOver(r *store.Record, c *Container, code string, stands bool) {
	p := intended(r, c)
	p.Code, p.Runs = code, code
	p.DockerID, p.DockerName = c.DockerID, c.Name
	if stands {
		r.Supersede(p)
		return
	}
	r.Supersede(r.Current)
	r.Current, r.Handover, r.Run.ID = p, nil, ""
}

// intended is the placement that a container came of, taken out of the record, or what can be told of it.
func intended(r *store.Record, c *Container) store.Placement {
	for _, p := range []*store.Placement{&r.Current, &r.Candidate, &r.Previous} {
		if p.Token == c.Token {
			known := *p
			*p = store.Placement{}
			return known
		}
	}
	p := store.Placement{Token: c.Token, TemplateHash: c.Hash, Generation: r.TemplateGeneration, Cause: api.CauseRecovery, AskedBy: r.Code, Outdated: r.Spec.Code != nil}
	for _, at := range r.Spec.Ports {
		p.Outdated = p.Outdated || at.Port == 0
	}
	return p
}
