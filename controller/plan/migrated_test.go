package plan

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/store"
)

// formatOne is what the version of format 1 saw around each record of its store, and what it would have done next.
type formatOne struct {
	Now     time.Time
	Records map[string]struct {
		Next       string
		Rests      bool
		Until      time.Time
		Containers []Container
	}
}

// migrated opens a copy of a store that the version of format 1 has written.
func migrated(t *testing.T, name string) (*store.Store, *formatOne) {
	t.Helper()
	from, dir, f := filepath.Join("..", "..", "store", "testdata", "format-1"), t.TempDir(), &formatOne{}
	data, err := os.ReadFile(filepath.Join(from, name+".json"))
	if err == nil {
		err = json.Unmarshal(data, f)
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(from, name+".db"))
	if err == nil {
		err = os.WriteFile(store.Path(dir), file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(dir, store.Options{NoSync: true, Now: func() time.Time { return f.Now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, f
}

// seen is what this version sees of a record at that moment or after it: the same containers, and where it is not known what
// the engine tells of them that the older version did not ask for, that it is as it was asked for. The socket is in a folder
// that no start has noted.
func (f *formatOne) seen(r *store.Record, after time.Duration) *Observation {
	var all []Container
	for _, c := range f.Records[r.Name].Containers {
		if c.RestartPolicy == "" {
			c.RestartPolicy, c.Networks = "no", []string{r.Spec.Network}
			for _, p := range r.AllPlacements() {
				if p.Owns(c.Token, c.DockerID, c.Name) {
					c.Limits = p.Resources
				}
			}
		}
		if c.Began = c.StartedAt; c.Ran() && !c.Alive() {
			c.Lasted = c.FinishedAt.Sub(c.StartedAt)
		}
		all = append(all, c)
	}
	o := Classify(r, all)
	o.At, o.Boot, o.Mount, o.Uptime = Instant{Now: f.Now.Add(after)}, r.Run.Boot, "1:2:3", time.Hour
	return &o
}

// migratedCase is what the older version would have done next with a record, what this one does, and what it does later where
// nothing else happens.
type migratedCase struct {
	old   string
	now   Action
	later Action
}

const rests = ""

// steps are records of a simulated engine, one for each step.
func steps() map[string]migratedCase {
	return map[string]migratedCase{
		// At rest.
		"at-rest-running":                  {rests, Rest, Rest},
		"at-rest-stopped":                  {rests, Rest, Rest},
		"at-rest-paused":                   {rests, Rest, Rest},
		"at-rest-created":                  {rests, Rest, Rest},
		"at-rest-with-code":                {rests, Rest, Rest},
		"at-rest-ready":                    {rests, Rest, Rest},
		"at-rest-restarted":                {rests, Rest, Rest},
		"at-rest-updated":                  {rests, Rest, Rest},
		"at-rest-after-a-stop-and-a-start": {rests, Rest, Rest},
		"with-a-history":                   {rests, Rest, Rest},
		"completed":                        {rests, Rest, Rest},
		"failed":                           {rests, Rest, Rest},
		"gave-up":                          {rests, Rest, Rest},
		"interrupted":                      {rests, Rest, Rest},
		"taken-back-for-good":              {rests, Rest, Rest},
		"left-as-it-is":                    {rests, Rest, Rest},

		// Before anything stands.
		"new":           {"intend", Intend, ""},
		"new-intended":  {"create", Create, ""},
		"new-created":   {"start", IntendStart, ""},
		"image-missing": {"intend", Intend, ""},

		// The process.
		"start-asked":            {"wake", ExplicitStart, ""},
		"start-before-an-update": {"prepare", ExplicitStart, ""},
		"stop-asked":             {"stop", Stop, ""},
		"stopping":               {"wait", Rest, Kill},
		"stop-seen":              {"settle", RecordStop, ""},
		"restart-asked":          {"renew", BeginRestart, ""},
		"restart-begun":          {"stop", Stop, ""},
		"restarting":             {"wait", Rest, Kill},
		"restart-stopped":        {"start", IntendStart, ""},
		"exit-seen":              {"exit", RecordExit, ""},
		"crash-looping":          {"wait", Rest, IntendStart}, // the folder of the socket is noted
		"limits-wanted":          {"limit", Limit, ""},
		"removed-by-others":      {"intend", Intend, ""},

		// An update.
		"candidate-wanted":            {"prepare", IntendReplacement, ""},
		"candidate-intended":          {"create", Create, ""},
		"candidate-made":              {"record", Adopt, ""},
		"candidate-created":           {"attempt", Attempt, ""},
		"candidate-withdrawn":         {"discard", Discard, ""},
		"attempt-written":             {"stop", Stop, ""},
		"attempt-of-another-template": {"prepare", Abandon, ""},
		"stopping-old":                {"wait", Rest, Kill},
		"old-stopped":                 {"swap", Promote, ""},
		"promoted":                    {"rename", Rename, ""},
		"renamed":                     {"start", IntendStart, ""},
		"on-trial":                    {"wait", Rest, Commit},
		"trial-exited":                {"revert", Rollback, ""},
		"trial-not-started":           {"revert", Rollback, ""},
		"trial-superseded":            {"stop", Stop, ""},
		"trial-withdrawn":             {"revert", Rollback, ""},
		"update-committed":            {"remove", Remove, ""},
		"update-of-what-is-paused":    {"swap", Promote, ""},
		"superseded-stopping":         {"wait", Rest, Kill}, // its name is that container's for now
		"retry-asked":                 {"again", ResetTrial, ""},
		"pull-asked":                  {"resolve", Resolve, ""},
		"update-image-missing":        {"prepare", IntendReplacement, ""},
		"taken-back":                  {"wait", IntendReplacement, ""}, // what did not work is tried at once
		"code-wanted":                 {"recode", SwitchCode, ""},
		"code-switched":               {"stop", Stop, ""},
		"code-stopped":                {"start", IntendStart, ""},
		"code-on-trial":               {"wait", Rest, Commit},

		// A deletion.
		"deletion-wanted":  {"stop", Stop, ""},
		"deleting":         {"wait", Rest, Kill},
		"deletion-stopped": {"remove", Remove, ""},
		"deletion-done":    {"bury", Finalize, ""},
	}
}

// onEngine are records of a real engine, whose manager was killed while it watched an update and waited for a stop.
func onEngine() map[string]migratedCase {
	return map[string]migratedCase{
		"real-running":       {rests, Rest, Rest},
		"real-healthy":       {rests, Rest, Rest},
		"real-ready":         {rests, Rest, Rest},
		"real-stopped":       {rests, Rest, Rest},
		"real-paused":        {rests, Rest, Rest},
		"real-created":       {rests, Rest, Rest},
		"real-updated":       {rests, Rest, Rest},
		"real-code":          {rests, Rest, Rest},
		"real-taken-back":    {rests, Rest, Rest},
		"real-completed":     {rests, Rest, Rest},
		"real-gave-up":       {rests, Rest, Rest},
		"real-restarted":     {rests, Rest, Rest},
		"real-crash-looping": {rests, Rest, IntendStart},
		"real-on-trial":      {rests, Rest, Commit},
		"real-stopping":      {rests, Rest, Kill},
	}
}

// After a migration each record goes on where the older version had got to.
func TestPlan_GoesOnAfterAMigration(t *testing.T) {
	for name, cases := range map[string]map[string]migratedCase{"steps": steps(), "engine": onEngine()} {
		s, f := migrated(t, name)
		all, _ := s.List()
		if len(all) != len(cases) || len(s.Quarantined()) > 0 {
			t.Errorf("%s: %d records, %d cases, %v", name, len(all), len(cases), s.Quarantined())
		}
		for _, r := range all {
			want, known := cases[r.Name]
			if !known {
				t.Errorf("nobody says what is done with %s", r.Name)
				continue
			}
			if was := f.Records[r.Name].Next; was != want.old {
				t.Errorf("%s: the older version would have done %q, and the table says %q", r.Name, was, want.old)
			}
			o := f.seen(r, 0)
			step := Plan(r, o)
			if step.Action != want.now || len(o.Foreign) > 0 {
				t.Errorf("%s: %q (%s), want %q; foreign: %v; %s", r.Name, step.Action, step.Detail, want.now, o.Foreign, api.Encode(r.Tracking))
			}
			if step.Resting() || want.later != "" {
				if step := Plan(r, f.seen(r, 20*time.Minute)); step.Action != want.later {
					t.Errorf("%s later: %q (%s), want %q", r.Name, step.Action, step.Detail, want.later)
				}
			}
		}
	}
}

// What waits waits for what was left of it.
func TestPlan_WaitsOnAfterAMigration(t *testing.T) {
	s, f := migrated(t, "steps")
	for name, one := range f.Records {
		if one.Next != "wait" || steps()[name].now != Rest {
			continue
		}
		r, err := s.Resolve(name)
		if err != nil {
			t.Fatal(err)
		}
		step := Plan(r, f.seen(r, 0))
		if left := one.Until.Sub(f.Now); (step.Left()-left).Abs() > time.Microsecond || step.Waiting().Reason == "" {
			t.Errorf("%s: waits for %s (%+v), and %s were left", name, step.Left(), step.Waiting(), left)
		}
	}
}

// A record at rest stays so: the first look at it asks the engine for nothing, writes nothing but its status, and the next one
// not even that.
func TestApply_AfterAMigrationOfWhatIsAtRest(t *testing.T) {
	s, f := migrated(t, "steps")
	all, _ := s.List()
	for _, r := range all {
		if one := f.Records[r.Name]; !one.Rests || one.Next != "" {
			continue
		}
		var looks []string
		for range 2 {
			o := f.seen(r, 0)
			step := Plan(r, o)
			if !step.Resting() || step.Open() || step.Left() != 0 {
				t.Errorf("%s: %+v", r.Name, step)
			}
			next := *r
			next.Status.Conditions = slices.Clone(r.Status.Conditions)
			events := Apply(&next, &step, &Result{}, o)
			if len(events) > 0 {
				t.Errorf("%s: %s", r.Name, api.Encode(events))
			}
			next.Run.Available, next.Status.Conditions = r.Run.Available, r.Status.Conditions
			looks = append(looks, string(api.Encode(next.Tracking))+string(api.Encode(next.Status)))
		}
		if before := string(api.Encode(r.Tracking)) + string(api.Encode(r.Status)); looks[0] != looks[1] || looks[0] != before {
			t.Errorf("%s:\n%s\n%s", r.Name, before, strings.Join(looks, "\n"))
		}
	}
}
