package test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// watcher rebuilds what a manager holds from events alone, over connections that are cut off.
type watcher struct {
	version string            // of the newest event that it has read
	read    map[string]string // events by their versions
	order   []string          // the versions
	holds   map[string]object // containers by id
	cuts    int
}

func newWatcher(version string) *watcher {
	return &watcher{version: version, read: map[string]string{}, holds: map[string]object{}}
}

// follow connects, resumes, and reads so many events (-1: all up to subscribed), then drops the connection without a word. An
// error of the connection is one more cut; any other is a flaw of the manager's.
func (w *watcher) follow(addr string, most int) error {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return nil
	}
	defer conn.UnderlyingConn().Close()
	w.cuts++
	resume, _ := json.Marshal([]any{"subscribe", object{"resource_version": w.version}})
	for _, frame := range []string{"40", "421" + string(resume)} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
			return nil
		}
	}
	acknowledged := false
	for most != 0 {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, data, err := conn.ReadMessage()
		if err != nil {
			return nil
		}
		switch frame := string(data); {
		case frame == "2":
			_ = conn.WriteMessage(websocket.TextMessage, []byte("3"))
		case strings.HasPrefix(frame, "431["):
			if acknowledged = strings.Contains(frame, `"ok":true`); !acknowledged {
				return fmt.Errorf("resuming from %s: %s", w.version, frame)
			}
		case !acknowledged || !strings.HasPrefix(frame, "42["):
		case strings.HasPrefix(frame, `42["subscribed"`):
			if most < 0 {
				return nil
			}
		default:
			counted, err := w.hear(data[2:])
			if err != nil {
				return err
			}
			if counted && most > 0 {
				most--
			}
		}
	}
	return nil
}

// hear takes an event in, if it is one that is kept.
func (w *watcher) hear(data []byte) (bool, error) {
	var parts []json.RawMessage
	var name string
	var body object
	if err := json.Unmarshal(data, &parts); err != nil {
		return false, err
	}
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return false, err
	}
	if err := json.Unmarshal(parts[1], &body); err != nil {
		return false, err
	}
	version, kept := body["resource_version"].(string)
	if !kept {
		return false, nil
	}
	if twice, had := w.read[version]; had {
		return false, fmt.Errorf("%s %s was read before, as %s; read before it: %v\n%s", name, version, twice, w.order[max(0, len(w.order)-5):], data)
	}
	w.version, w.read[version], w.order = version, name, append(w.order, version)
	if container, ok := body["container"].(object); ok {
		id := container["id"].(string)
		if w.holds[id] = container; body["type"] == "deleted" {
			delete(w.holds, id)
		}
	}
	return true, nil
}
