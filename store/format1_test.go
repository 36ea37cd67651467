package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	bolt "go.etcd.io/bbolt"

	"github.com/flow-manager/flow-manager/api"
)

// recordsOfFormatOne is how many containers the store of format 1 has that the tests have.
const recordsOfFormatOne = 64

// raw is what a closed file has in its buckets.
func raw(t *testing.T, path string, buckets ...[]byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := look(path, func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if err := tx.Bucket(b).ForEach(func(k, v []byte) error { all[spot(string(b), string(k))] = string(v); return nil }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is declared stays as it is, word for word, and so does everything but the records.
func TestToFormat2_ChangesTheRecordsAlone(t *testing.T) {
	dir, _ := formatOne(t, nil)
	path := filepath.Join(dir, fileName)
	others := [][]byte{bucketNames, bucketTombstones, bucketKeys, bucketExpiries, bucketHistory, bucketLog}
	old := raw(t, path, others...)
	oldRecords := raw(t, path, bucketContainers, bucketStatus)
	s := open(t, dir, Options{Now: then})
	records, _ := s.List()
	if len(records) != recordsOfFormatOne || len(s.Quarantined()) > 0 {
		t.Fatalf("%d records, %v", len(records), s.Quarantined())
	}
	for _, r := range records {
		var d declaration1
		var o observation1
		if err := decode([]byte(oldRecords[spot("containers", r.ID)]), &d); err != nil {
			t.Fatal(err)
		}
		if err := decode([]byte(oldRecords[spot("status", r.ID)]), &o); err != nil {
			t.Fatal(err)
		}
		o.Status.LastError, r.Status.LastError = nil, nil
		want := []any{d.Name, d.Generation, d.SpecGen, d.TemplateGen, d.Code, d.Spec, o.Status, max(d.Revision, o.Revision), o.Placement.Token, o.Next.Token, o.Prev.Token, o.Trials != nil}
		got := []any{r.Name, r.Generation, r.SpecGeneration, r.TemplateGeneration, r.Code, r.Spec, r.Status, r.Revision, r.Current.Token, r.Candidate.Token, r.Previous.Token, r.Trials != nil}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", r.Name, diff)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(old, raw(t, path, others...)); diff != "" {
		t.Error(diff)
	}
}

// A second start finds nothing to change.
func TestToFormat2_IsDoneOnce(t *testing.T) {
	dir, _ := formatOne(t, nil)
	var contents []map[string]string
	for range 2 {
		s := open(t, dir, Options{Now: then})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		contents = append(contents, raw(t, filepath.Join(dir, fileName), buckets()...))
	}
	if diff := cmp.Diff(contents[0], contents[1]); diff != "" {
		t.Error(diff)
	}
}

func TestToFormat2_KeysAndHistoryAreThere(t *testing.T) {
	dir, _ := formatOne(t, nil)
	s := open(t, dir, Options{Now: then})
	r := resolve(t, s, "with-a-history")
	again, err := s.Declare(context.Background(), Declaration{Name: r.Name, Principal: "operator", Key: "key-0000000000000011", BodyHash: "11",
		Change: func(*Wish) error { t.Error("a request was carried out once more"); return nil }})
	if err != nil || again.Generation != 12 || again.ID != r.ID {
		t.Errorf("%+v, %v", again, err)
	}
	if list, err := s.History(r.ID); err != nil || len(list) < maxHistory || list[len(list)-1].Generation != 12 {
		t.Errorf("%d, %v", len(list), err)
	}
	if len(s.graves.byID) != 1 {
		t.Errorf("tombstones: %v", s.graves.order)
	}
}

// What a step of an update has written is there in the groups of this format.
func TestToFormat2_Steps(t *testing.T) {
	dir, _ := formatOne(t, nil)
	s := open(t, dir, Options{Now: then})
	type step struct {
		Asked, Done Requests
		Handover    string // whose token it has
		Trial       bool
		Stop        time.Duration // of the container that was asked to stop
		End         string
		Streak      int
		Counted     int
		Backoff     bool
		Available   bool
	}
	for name, want := range map[string]step{
		"at-rest-running":             {Available: true},
		"at-rest-stopped":             {End: EndAsked},
		"at-rest-paused":              {},
		"start-asked":                 {Asked: Requests{Start: 2}, End: EndCounted, Streak: 3, Counted: 1},
		"start-before-an-update":      {Asked: Requests{Start: 4}, End: EndAsked},
		"restart-asked":               {Asked: Requests{Restart: 2}, Available: true},
		"restart-begun":               {Asked: Requests{Restart: 2}, Done: Requests{Restart: 2}, Available: true},
		"retry-asked":                 {Asked: Requests{Retry: 3}, End: EndAsked, Available: true},
		"pull-asked":                  {Asked: Requests{Pull: 2}, Available: true},
		"attempt-written":             {Handover: "candidate", Trial: true, Available: true},
		"attempt-of-another-template": {Handover: "candidate", Trial: true, Available: true},
		"stopping-old":                {Handover: "candidate", Trial: true, Stop: 7 * time.Second, Available: true},
		"old-stopped":                 {Handover: "candidate", Trial: true, Available: true},
		"promoted":                    {Handover: "current", Trial: true},
		"on-trial":                    {Handover: "current", Trial: true},
		"trial-superseded":            {Handover: "candidate", Trial: true},
		"code-switched":               {Handover: "current", Trial: true},
		"taken-back":                  {End: EndAsked},
		"interrupted":                 {End: EndInterrupted},
		"completed":                   {End: EndCounted, Streak: 1, Counted: 1},
		"crash-looping":               {End: EndCounted, Streak: 7, Counted: 1, Backoff: true},
		"deleting":                    {Stop: 7 * time.Second},
		"superseded-stopping":         {Stop: 7 * time.Second, End: EndAsked},
	} {
		r := resolve(t, s, name)
		got := step{Asked: r.Asked, Done: r.Done, End: r.Run.End, Streak: r.Run.Streak, Counted: len(r.Run.Counted), Backoff: r.Run.Backoff != nil, Available: r.Run.Available != ""}
		if h := r.Handover; h != nil {
			got.Trial = h.Trial
			got.Handover = map[string]string{r.Candidate.Token: "candidate", r.Current.Token: "current"}[h.Token]
		}
		for _, p := range r.AllPlacements() {
			if p.Stop != nil {
				got.Stop = p.Stop.Length.Round(time.Second)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(r.Accepted) > 0 || len(r.Tracks.Trouble()) > 0 {
			t.Errorf("%s: %+v, %+v", name, r.Accepted, r.Tracks)
		}
	}
}

// Whatever is wrong with a record, it is kept as it was found, and the others are there.
func TestToFormat2_PutsWhatItDoesNotKnowIntoQuarantine(t *testing.T) {
	with := func(bucket []byte, old, now string) func(tx *bolt.Tx, id []byte) error {
		return func(tx *bolt.Tx, id []byte) error {
			was := tx.Bucket(bucket).Get(id)
			is := bytes.Replace(was, []byte(old), []byte(now), 1)
			if bytes.Equal(was, is) {
				t.Errorf("there is no %s in %s", old, was)
			}
			return tx.Bucket(bucket).Put(id, is)
		}
	}
	for name, harm := range map[string]func(tx *bolt.Tx, id []byte) error{
		"no JSON":                        with(bucketContainers, `{`, `<`),
		"a status that ends":             func(tx *bolt.Tx, id []byte) error { return tx.Bucket(bucketStatus).Put(id, []byte(`{"revision":1`)) },
		"something after it":             with(bucketContainers, `{"id"`, `{} {"id"`),
		"a field that is not known":      with(bucketContainers, `{"id"`, `{"asked":{"start":1},"id"`),
		"one in the spec":                with(bucketContainers, `"spec":{`, `"spec":{"colour":"red",`),
		"one of a newer status":          with(bucketStatus, `"placement":{`, `"current":{},"placement":{`),
		"one in a placement":             with(bucketStatus, `"placement":{`, `"placement":{"mount":"1:2",`),
		"a state that nobody knows":      with(bucketContainers, `"desired_state":"running"`, `"desired_state":"flying"`),
		"a number that is a word":        with(bucketStatus, `"status":{`, `"wake_seen":"one","status":{`),
		"a status that is not there":     func(tx *bolt.Tx, id []byte) error { return tx.Bucket(bucketStatus).Delete(id) },
		"a status without a declaration": func(tx *bolt.Tx, id []byte) error { return tx.Bucket(bucketContainers).Delete(id) },
	} {
		t.Run(name, func(t *testing.T) {
			var id []byte
			dir, _ := formatOne(t, func(tx *bolt.Tx) error {
				id = bytes.Clone(tx.Bucket(bucketNames).Get([]byte("at-rest-running")))
				return harm(tx, id)
			})
			path := filepath.Join(dir, fileName)
			before := raw(t, path, bucketContainers, bucketStatus)
			s, err := Open(dir, Options{Now: then, NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			if records, _ := s.List(); len(records) != recordsOfFormatOne-1 {
				t.Errorf("%d records", len(records))
			}
			if _, err := s.Resolve("at-rest-running"); err == nil || !strings.Contains(err.Error(), "quarantine") {
				t.Errorf("it is there: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for key, value := range raw(t, path, bucketQuarantine) {
				var held quarantined
				spot := strings.TrimPrefix(key, "quarantine/")
				if err := json.Unmarshal([]byte(value), &held); err != nil || held.ID != string(id) || !held.At.Equal(writtenAt) || string(held.Value) != before[spot] || held.Value == nil {
					t.Errorf("%s: %v, %+v", key, err, held)
				}
				delete(before, spot)
			}
			if left := before[spot("containers", string(id))] + before[spot("status", string(id))]; left != "" {
				t.Errorf("this is not in quarantine: %s", left)
			}
		})
	}
}

// filled sets all that a value has.
func filled(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(writtenAt.Add(time.Minute)))
		return
	case api.HostPort:
		v.Set(reflect.ValueOf(api.HostPort{Address: "127.0.0.1", Port: 7}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			filled(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		filled(v.Index(0))
	case reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		filled(element)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("7").Convert(v.Type().Key()), element)
	case reflect.String:
		v.SetString("7")
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}

// fields are those of a value as it is stored.
func fields(t *testing.T, data []byte) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Whatever a record of format 1 can hold is there afterwards, under the name that it has now, or was left out on purpose.
func TestHalves1_LeaveNothingOut(t *testing.T) {
	var d declaration1
	var o observation1
	filled(reflect.ValueOf(&d).Elem())
	filled(reflect.ValueOf(&o).Elem())
	d.Wake, o.Outcomes[0].ErrorType, o.Outcomes[0].Message = 8, "", ""
	declared, observed, err := halves1(api.Encode(d), api.Encode(o), writtenAt)
	if err != nil {
		t.Fatal(err)
	}
	want, got := fields(t, api.Encode(d)), fields(t, api.Encode(declared))
	asked := map[string]any{"start": want["generation"], "restart": want["restart"], "pull": want["pull"], "retry": want["retry"]}
	for _, gone := range []string{"wake", "restart", "pull", "retry"} {
		delete(want, gone)
	}
	want["asked"] = asked
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	was, is := fields(t, api.Encode(o)), fields(t, api.Encode(observed))
	status := was["status"].(map[string]any)
	delete(status, "last_error") // with the failure
	trial, outcome := was["trials"].([]any)[0].(map[string]any), was["outcomes"].([]any)[0].(map[string]any)
	delete(outcome, "error_type")
	delete(outcome, "message")
	outcome["intent"], outcome["level"] = "spec", float64(LevelAvailable)
	want = map[string]any{
		"revision": was["revision"], "status": status, "images": was["images"], "codes": was["codes"], "trials": []any{trial}, "outcomes": []any{outcome},
		"done":       map[string]any{"restart": was["restart_seen"], "pull": was["pull_seen"], "retry": was["retry_seen"]},
		"placements": map[string]any{"current": was["placement"], "candidate": was["next"], "previous": was["prev"], "superseded": was["superseded"]},
		"at_rest":    true, "handover": map[string]any{"token": "7", "trial": true},
		"run": map[string]any{
			"id": was["handled"], "end": EndCounted, "ended": was["ended"], "ended_under": was["ended_under"], "streak": status["crash_streak"],
			"counted": []any{map[string]any{"run": was["handled"], "at": was["counted_end"]}}, "begun": true, "boot": was["boot"], "restart_from": was["restart_from"],
			"restart_asked": true, "ready": was["ready_run"], "backoff": map[string]any{"since": writtenAt.Format(time.RFC3339Nano), "length": float64(time.Minute)},
		},
	}
	was["superseded"].([]any)[0].(map[string]any)["stop"] = map[string]any{"since": writtenAt.Format(time.RFC3339Nano), "length": float64(7 * time.Second)}
	delete(is, "tracks")
	if diff := cmp.Diff(want, is); diff != "" {
		t.Error(diff)
	}
}

// A backup of format 1 can be checked, and what would go into quarantine is named.
func TestCheck_OfFormat1(t *testing.T) {
	dir, _ := formatOne(t, nil)
	path := filepath.Join(dir, fileName)
	if r, err := Check(path); err != nil || r.Format != 1 || r.Containers != recordsOfFormatOne || r.Revision == 0 || len(r.Problems) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	err := change(path, func(tx *bolt.Tx) error {
		id := tx.Bucket(bucketNames).Get([]byte("on-trial"))
		return errors.Join(tx.Bucket(bucketStatus).Put(id, []byte(`{"colour":"red"}`)), tx.DeleteBucket(bucketHistory))
	})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Check(path); err != nil || r.Containers != recordsOfFormatOne-1 || len(r.Problems) == 0 || !strings.Contains(strings.Join(r.Problems, " "), "on-trial") {
		t.Errorf("%+v, %v", r, err)
	}
}

// The first stores had no history.
func TestToFormat2_OfAStoreWithoutHistory(t *testing.T) {
	dir, _ := formatOne(t, func(tx *bolt.Tx) error { return tx.DeleteBucket(bucketHistory) })
	s := open(t, dir, Options{Now: then})
	if records, _ := s.List(); len(records) != recordsOfFormatOne {
		t.Errorf("%d records", len(records))
	}
}

func TestRecord1_Placements(t *testing.T) {
	grace := 20
	made, intended := placement1{Token: "t", DockerID: "d"}, placement1{Token: "i"}
	at := func(d time.Duration) *time.Time { at := writtenAt.Add(d); return &at }
	for name, tt := range map[string]struct {
		deadline   *time.Time
		superseded []placement1
		want       []*Wait // of those that were superseded, and of the current one
	}{
		"none":                  {want: []*Wait{nil}},
		"of the one":            {deadline: at(7 * time.Second), want: []*Wait{{writtenAt, 7 * time.Second}}},
		"over":                  {deadline: at(-time.Hour), want: []*Wait{{writtenAt, 0}}},
		"longer than the grace": {deadline: at(time.Hour), want: []*Wait{{writtenAt, 20 * time.Second}}},
		"of the superseded one": {deadline: at(time.Second), superseded: []placement1{intended, made}, want: []*Wait{nil, {writtenAt, time.Second}, nil}},
		"beside an intent":      {deadline: at(time.Second), superseded: []placement1{intended}, want: []*Wait{nil, {writtenAt, time.Second}}},
		"nobody knows whose":    {deadline: at(time.Second), superseded: []placement1{made, made}, want: []*Wait{nil, nil, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			r := record1{now: writtenAt}
			r.Spec.StopGrace, r.Placement, r.Superseded, r.StopDeadline = &grace, made, tt.superseded, tt.deadline
			p := r.placements()
			var got []*Wait
			for _, one := range append(p.Superseded, p.Current) {
				got = append(got, one.Stop)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecord1_Run(t *testing.T) {
	began := writtenAt.Add(-time.Minute)
	monitor := 5
	at := func(d time.Duration) *time.Time { at := writtenAt.Add(d); return &at }
	name := "0123456789ab@" + began.Format(time.RFC3339Nano)
	for what, tt := range map[string]struct {
		edit func(r *record1)
		want Run
	}{
		"running":                  {func(*record1) {}, Run{Available: name}},
		"since a moment":           {func(r *record1) { r.Status.StartedAt = at(-time.Second) }, Run{}},
		"not known to work":        {func(r *record1) { r.Placement.Stable = false }, Run{}},
		"of another container":     {func(r *record1) { r.Status.DockerID = "other" }, Run{}},
		"paused":                   {func(r *record1) { r.Status.State = api.StatePaused }, Run{}},
		"not well":                 {func(r *record1) { r.Handled = name }, Run{ID: name, End: EndCounted}},
		"asked to end":             {func(r *record1) { r.Handled = "asked:a@b" }, Run{ID: "a@b", End: EndAsked, Available: name}},
		"interrupted":              {func(r *record1) { r.Handled = "interrupted:a@b" }, Run{ID: "a@b", End: EndInterrupted, Available: name}},
		"an end that was forgiven": {func(r *record1) { r.Handled, r.CountedEnd = "a@b", at(0) }, Run{ID: "a@b", End: EndCounted, Available: name}},
		"an end that counts": {func(r *record1) { r.Handled, r.CountedEnd, r.Status.CrashStreak = "a@b", at(0), 3 },
			Run{ID: "a@b", End: EndCounted, Streak: 3, Counted: []CountedEnd{{Run: "a@b", At: writtenAt}}, Available: name}},
		"a backoff":        {func(r *record1) { r.Status.NextRestartAt = at(time.Minute) }, Run{Backoff: &Wait{writtenAt, time.Minute}, Available: name}},
		"a long one":       {func(r *record1) { r.Status.NextRestartAt = at(time.Hour) }, Run{Backoff: &Wait{writtenAt, 5 * time.Minute}, Available: name}},
		"one that is over": {func(r *record1) { r.Status.NextRestartAt = at(-time.Second) }, Run{Available: name}},
		"what is noted": {func(r *record1) {
			r.Ended, r.EndedUnder.Name, r.Ran, r.Boot, r.RestartFrom, r.RestartAsked, r.ReadyRun = "GaveUp", "never", true, "boot", "from", true, "ready"
		}, Run{Ended: "GaveUp", EndedUnder: api.RestartPolicy{Name: "never"}, Begun: true, Boot: "boot", RestartFrom: "from", RestartAsked: true, Ready: "ready", Available: name}},
	} {
		t.Run(what, func(t *testing.T) {
			r := record1{now: writtenAt}
			r.Spec.UpdatePolicy.Monitor = &monitor
			r.Placement = placement1{Token: "t", DockerID: "0123456789abcdef", Stable: true}
			r.Status = api.Status{State: api.StateRunning, DockerID: "0123456789abcdef", StartedAt: &began}
			tt.edit(&r)
			if diff := cmp.Diff(tt.want, r.run(), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecord1_Handover(t *testing.T) {
	for what, tt := range map[string]struct {
		edit func(r *record1)
		want *Handover
	}{
		"none":                {func(*record1) {}, nil},
		"of what works":       {func(r *record1) { r.Trials, r.Placement.Stable = []trial1{{Token: "n"}}, true }, &Handover{Token: "n", Trial: true}},
		"in its first run":    {func(r *record1) { r.Trials = []trial1{{Token: "n"}} }, &Handover{Token: "n", Trial: true}},
		"of a crash loop":     {func(r *record1) { r.Trials, r.Status.CrashStreak = []trial1{{Token: "n"}}, 3 }, &Handover{Token: "n"}},
		"of what is paused":   {func(r *record1) { r.Trials, r.Spec.DesiredState = []trial1{{Token: "n"}}, "paused" }, &Handover{Token: "n"}},
		"of an older attempt": {func(r *record1) { r.Trials = []trial1{{Token: "o"}} }, nil},
		"of none":             {func(r *record1) { r.Trials, r.Next = []trial1{{}}, placement1{} }, nil},
		"on trial":            {func(r *record1) { r.Prev.Token = "p" }, &Handover{Token: "c", Trial: true}},
		"another one on trial": {func(r *record1) {
			r.Prev.Token, r.Trials, r.Status.CrashStreak = "p", []trial1{{Token: "n"}}, 3
		}, &Handover{Token: "n", Trial: true}},
		"that does not start": {func(r *record1) {
			r.Prev.Token, r.Failure, r.Status.LastError = "p", &failure1{Generation: 4, Action: "start"}, &api.LastError{Message: "no"}
		}, &Handover{Token: "c", Trial: true, Failed: "no"}},
		"that did not start": {func(r *record1) {
			r.Prev.Token, r.Failure, r.Status.LastError = "p", &failure1{Generation: 3, Action: "start"}, &api.LastError{Message: "no"}
		}, &Handover{Token: "c", Trial: true}},
	} {
		t.Run(what, func(t *testing.T) {
			r := record1{now: writtenAt}
			r.Generation, r.Spec.DesiredState = 4, api.DesiredRunning
			r.Placement, r.Next = placement1{Token: "c"}, placement1{Token: "n"}
			tt.edit(&r)
			if diff := cmp.Diff(tt.want, r.handover()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecord1_Outcomes(t *testing.T) {
	r := record1{now: writtenAt}
	r.Outcomes = []outcome1{{Generation: 1, State: "running"}, {Generation: 2, State: "running", ErrorType: api.DockerAPIError, Message: "no"}}
	want := []Outcome{{Generation: 1, Intent: IntentSpec, Level: LevelAvailable, State: "running"}, {Generation: 2, Intent: IntentSpec, ErrorType: api.DockerAPIError, Message: "no"}}
	if diff := cmp.Diff(want, r.outcomes()); diff != "" {
		t.Error(diff)
	}
}

func TestRecord1_Status(t *testing.T) {
	r := record1{now: writtenAt}
	r.Status.LastError = &api.LastError{Message: "it was taken back"}
	if r.status().LastError == nil {
		t.Error("what stays wrong is forgotten")
	}
	r.Failure = &failure1{}
	if r.status().LastError != nil {
		t.Error("a failure is gone, and its error is not")
	}
}
