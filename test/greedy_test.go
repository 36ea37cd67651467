package test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What an operator allows is what clients get, and what they do not get is answered and counted.
func TestGreedy_TheFlagsBoundClients(t *testing.T) {
	m := newManager(t, "--max-sessions", "2", "--max-requests-per-second", "1")
	c := m.dial()
	if other, err := dial(m.addr); err == nil {
		other.close()
		t.Error("one address has more than half of the sessions")
	}
	limited := false
	for range 20 {
		answer, err := c.ask("list_containers", object{})
		if err != nil {
			t.Fatal(err)
		}
		details, _ := answer["details"].(object)
		if limited = answer["error_type"] == "rate_limit_error" && details["retry_after"] == 1.0; limited {
			break
		}
	}
	if !limited {
		t.Error("20 requests were answered at once")
	}
	for range 20 {
		if answer, err := c.ask("send_message", object{"container_id": "nobody", "message": object{}}); err != nil || answer["error_type"] != "container_not_found" {
			t.Errorf("a message: %v, %v", answer, err)
		}
	}
	answer, err := http.Get(m.url() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`flow_manager_client_faults_total{reason="refused_address"} 1`, `flow_manager_client_faults_total{reason="request_rate_limited"}`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("no %s", want)
		}
	}
}
