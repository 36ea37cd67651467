package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
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

// A burst of messages to a flow that takes them is read as fast as it does, and none is refused.
func TestGreedy_ABurstOfMessagesArrives(t *testing.T) {
	t.Parallel()
	const many = 3000
	m := newManager(t)
	c := m.dial()
	id := c.run(t, object{"name": named(t, "taker")})
	c.must(t, "send_message", object{"container_id": id, "message": object{"type": "round"}, "expect_reply": true}) // it is connected
	burst, _, err := websocket.DefaultDialer.Dial("ws://"+m.addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer burst.Close()
	if err := burst.WriteMessage(websocket.TextMessage, []byte("40")); err != nil {
		t.Fatal(err)
	}
	go func() {
		for n := range many {
			_ = burst.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `42%d["send_message",{"container_id":%q,"message":{"n":%d}}]`, n, id, n))
		}
	}()
	refused := map[string]int{}
	for answered := 0; answered < many; {
		_ = burst.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := burst.ReadMessage()
		if err != nil {
			t.Fatalf("after %d answers, %v refused: %v", answered, refused, err)
		}
		if !strings.HasPrefix(string(frame), "43") {
			continue
		}
		answered++
		if text := string(frame); !strings.Contains(text, `"ok":true`) {
			_, kind, _ := strings.Cut(text, `"error_type":"`)
			refused[strings.SplitN(kind, `"`, 2)[0]]++
		}
	}
	if len(refused) > 0 {
		t.Errorf("of %d messages were refused: %v", many, refused)
	}
}
