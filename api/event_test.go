package api

import (
	"encoding/json"
	"testing"
)

// What a flow says reaches clients as it came: spaces, the order of its keys and every digit.
func TestReceived_Event(t *testing.T) {
	for _, message := range []string{`{}`, ` { "b" : 1.0e5,"a":12345678901234567890, "b":"<\u003c" } `} {
		got := Received{ContainerID: "id", Message: json.RawMessage(message)}.Event()
		if want := `{"container_id":"id","message":` + message + `}`; string(got.Data) != want {
			t.Errorf("got %s, want %s", got.Data, want)
		}
	}
}
