package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// measure is what one metric must look like: its type, and which values each of its labels may have.
type measure struct {
	kind   dto.MetricType
	labels map[string]*regexp.Regexp
}

// measures are all that the manager counts of itself. A label that is not here, or that takes a value which is not here, may
// grow with what clients declare.
func measures() map[string]measure {
	only := func(values string) *regexp.Regexp {
		return regexp.MustCompile("^(" + strings.ReplaceAll(values, " ", "|") + ")$")
	}
	return map[string]measure{
		"reconcile_duration_seconds": {dto.MetricType_HISTOGRAM, map[string]*regexp.Regexp{"result": only("settled again error")}},
		"engine_call_duration_seconds": {dto.MetricType_HISTOGRAM, map[string]*regexp.Regexp{"class": only("none absent conflict invalid unavailable engine"),
			"kind": only("info list inspect image pull create start kill pause unpause rename limit connect replay network volume remove remove_volume logs stats probe")}},
		"containers":          {dto.MetricType_GAUGE, map[string]*regexp.Regexp{"state": only("created running stopped paused restarting removing exited dead")}},
		"client_faults_total": {dto.MetricType_COUNTER, map[string]*regexp.Regexp{"reason": only("(refused|request|broke|ended|closed)_[a-z_]+")}},
		"flow_faults_total": {dto.MetricType_COUNTER, map[string]*regexp.Regexp{"reason": only(
			"malformed_message too_long_frame unfinished_frame not_reading lost_unanswered refused_connection throttled_connections throttled_frames unasked_reply")}},
		"queue_depth":                   {kind: dto.MetricType_GAUGE},
		"queue_oldest_seconds":          {kind: dto.MetricType_GAUGE},
		"loop_idle_seconds":             {kind: dto.MetricType_GAUGE},
		"engine_known":                  {kind: dto.MetricType_GAUGE},
		"foreign_containers":            {kind: dto.MetricType_GAUGE},
		"sessions":                      {kind: dto.MetricType_GAUGE},
		"quarantined_records":           {kind: dto.MetricType_GAUGE},
		"store_writable":                {kind: dto.MetricType_GAUGE},
		"engine_events_total":           {kind: dto.MetricType_COUNTER},
		"resyncs_total":                 {kind: dto.MetricType_COUNTER},
		"declared_to_converged_seconds": {kind: dto.MetricType_HISTOGRAM},
		"exit_to_running_seconds":       {kind: dto.MetricType_HISTOGRAM},
	}
}

const measuredBy = "flow_manager_"

func TestMetrics_NameNobody(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	names := m.eventful(t)
	text := m.metrics(t)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := measures()
	for name, family := range families {
		if short, ours := strings.CutPrefix(name, measuredBy); ours {
			known, ok := want[short]
			if !ok {
				t.Errorf("%s is not known here", name)
				continue
			}
			known.check(t, family)
			delete(want, short)
		}
	}
	for name := range want {
		t.Errorf("no %s%s", measuredBy, name)
	}
	for _, name := range names {
		if strings.Contains(string(text), name) {
			t.Errorf("something holds %q", name)
		}
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, measuredBy) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func (k measure) check(t *testing.T, family *dto.MetricFamily) {
	t.Helper()
	if family.GetType() != k.kind {
		t.Errorf("%s is a %s, want %s", family.GetName(), family.GetType(), k.kind)
	}
	for _, metric := range family.GetMetric() {
		for _, label := range metric.GetLabel() {
			if allowed := k.labels[label.GetName()]; allowed == nil || !allowed.MatchString(label.GetValue()) {
				t.Errorf("%s has %s=%q", family.GetName(), label.GetName(), label.GetValue())
			}
		}
		if len(metric.GetLabel()) != len(k.labels) {
			t.Errorf("%s has the labels %v", family.GetName(), metric.GetLabel())
		}
	}
}

// eventful makes everything happen that is counted, and returns the names that played a part.
func (m *manager) eventful(t *testing.T) []string {
	t.Helper()
	c := m.dial()
	name, taken, volume := named(t, "measured"), named(t, "taken"), named(t, "volume")
	foreign := foreignContainer(t, taken, echoImage)
	id := c.run(t, object{"name": name, "volumes": object{volume: "/data"}})
	c.must(t, "apply_container", object{"name": taken, "image": echoImage})
	c.must(t, "apply_container", object{"name": named(t, "none"), "image": "example/nowhere:7", "image_pull_policy": "never"})
	c.must(t, "get_container_status", object{"container_id": id})
	docker := c.status(t, id)["docker_id"].(string)
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "exit", "code": 3}})
	c.wait(t, "container_crashed", id)
	c.running(t, id)
	c.refused(t, "invented_event", object{}, "validation_error")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.url()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "evil.example"
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	other := c.run(t, object{"name": named(t, "other"), "volumes": object{volume: "/data"}})
	for _, gone := range []string{id, other} {
		c.must(t, "delete_container", object{"container_id": gone, "remove_volumes": true})
		c.wait(t, "container_deleted", gone)
	}
	m.eventually("all of it is counted", func() error {
		text := string(m.metrics(t))
		for _, want := range []string{
			`containers{state="created"} 1`, `containers{state="running"} 1`, `sessions 1`, `engine_known 1`, `foreign_containers [1-9]`, // others use this engine too
			`declared_to_converged_seconds_count 2`, `exit_to_running_seconds_count 1`, `reconcile_duration_seconds_count{result="settled"}`,
			`engine_call_duration_seconds_count{class="absent",kind="image"}`, `engine_call_duration_seconds_count{class="none",kind="logs"}`,
			`engine_call_duration_seconds_count{class="none",kind="remove_volume"}`, `engine_call_duration_seconds_count{class="none",kind="stats"}`,
			`engine_call_duration_seconds_count{class="none",kind="info"}`, `client_faults_total{reason="refused_host"} 1`,
		} {
			if !regexp.MustCompile("(?m)^" + measuredBy + want).MatchString(text) {
				return fmt.Errorf("no %s in\n%s", want, text)
			}
		}
		return nil
	})
	return []string{id, other, name, taken, volume, foreign[:12], docker[:12], "echo", "nowhere", "invented", "evil", "127.0.0.1", m.dir}
}

func (m *manager) metrics(t *testing.T) []byte {
	t.Helper()
	answer, err := http.Get(m.url() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
