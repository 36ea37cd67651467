package plan

import (
	"slices"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// What the steps about containers do to a record.

// editContainer is edit for what was asked of the engine.
func editContainer(r *store.Record, s *Step, o *Observation) {
	switch s.Action {
	case Stop:
		stopped(r, s.On, &store.Wait{Since: o.At.Now, Length: time.Duration(*r.Spec.StopGrace) * time.Second})
	case Remove:
		removed(r, s.On.DockerID)
	case Forget:
		r.Superseded = unseen(r.Superseded)
	case Limit:
		if p := r.Of(s.On.DockerID); p != nil && s.Input == input(r, Settings) { // else others are declared by now
			p.Resources = WantedLimits(r)
		}
	case Renew:
		r.Run.RestartFrom, r.Run.RestartAsked = Run(s.On), false
	case Start:
		r.Run.Backoff = nil
	}
}

// stopped notes that a container was asked to stop.
func stopped(r *store.Record, c *Container, grace *store.Wait) {
	r.Superseded = slices.Clone(r.Superseded)
	if p := placement(r, c); p != nil {
		p.Stop = grace
	}
}

// removed forgets the container of a placement, but not what the next one made in its place keeps of it.
func removed(r *store.Record, dockerID string) {
	switch dockerID {
	case r.Current.DockerID:
		p := &r.Current
		r.Current = store.Placement{Ports: p.Ports, TemplateHash: p.TemplateHash, Generation: p.Generation, Stable: p.Stable, Carried: p.Volumes(),
			Code: p.Code, AskedBy: p.AskedBy, Resources: p.Resources, ImageID: p.ImageID, ImageDigest: p.ImageDigest}
	case r.Candidate.DockerID:
		r.Candidate = store.Placement{}
	case r.Previous.DockerID:
		r.Previous = store.Placement{}
	}
}

// editPlacement is edit for what stands or is to stand.
func editPlacement(r *store.Record, s *Step, res *Result, o *Observation) {
	if res.Image != nil && s.Action != Resolve {
		r.NoteImage(*res.Image)
	}
	if res.Code != nil {
		r.NoteTaken(*res.Code)
	}
	switch s.Action {
	case Intend:
		intend(r, s, *res.Placement)
	case IntendReplacement:
		r.Supersede(r.Candidate)
		r.Candidate = *res.Placement
	case Create:
		adopt(r, s, res.DockerID)
	case Adopt:
		adopt(r, s, s.On.DockerID)
	case Outdate:
		if p := r.Of(s.On.DockerID); p != nil {
			p.Outdated = true
		}
	case Resolve:
		resolved(r, s, *res.Image)
	case SwitchCode:
		if s.Input == input(r, Update) { // else something newer is declared, which this is not the code of
			switchCode(r, s, res.Code.Digest, o)
		}
	case ResetTrial:
		resetTrial(r, s)
	}
}

func intend(r *store.Record, s *Step, p store.Placement) {
	if s.Cause == api.CauseDrift && r.Run.Begun && r.Run.Ended == "" && r.Spec.RestartPolicy.Name == api.RestartNever {
		r.Run.Ended, r.Run.EndedUnder = Interrupted, r.Spec.RestartPolicy // it runs once for each explicit start
	}
	if r.Current.TemplateHash != "" && r.Current.TemplateHash != p.TemplateHash {
		forgive(r)
	}
	r.Supersede(r.Current)
	if r.Handover != nil && r.Handover.Token == r.Current.Token {
		r.Handover = &store.Handover{Token: p.Token, Trial: r.Handover.Trial}
	}
	r.Current = p
}

// adopt writes a container's Docker id, before its first start.
func adopt(r *store.Record, s *Step, dockerID string) {
	if s.Candidate {
		r.Candidate.DockerID = dockerID
		return
	}
	r.Current.DockerID, r.Status.DockerID = dockerID, dockerID
}

func resolved(r *store.Record, s *Step, image store.Resolved) {
	r.Done.Pull, r.Tracks.Update.Failure = s.Asked.Pull, nil
	r.NoteImage(image)
	another := func(p *store.Placement) bool { return p.TemplateHash == image.Template && p.ImageID != image.ID }
	if another(&r.Current) {
		r.Current.Outdated = true
		r.NoteTrial(store.Trial{Template: templateName(image.Template, r.Code)}) // another image was not tried yet
	}
	if another(&r.Candidate) {
		r.Candidate.Outdated = true
	}
}
