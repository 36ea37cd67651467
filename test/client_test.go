package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/test/asyncapi"
)

// object is any JSON object.
type object = map[string]any

// event is what a server sent.
type event struct {
	Name string
	Data object
}

// wsClient is a Socket.IO client over one WebSocket, for tests that need many at once.
type wsClient struct {
	conn   *websocket.Conn
	events chan event
	hello  object // the connected event

	judging atomic.Bool // whether what it hears is held against the document
	uneager atomic.Bool // whether it passes over what flows say, without decoding it

	mu    sync.Mutex
	next  int
	acks  map[int]chan object
	asked map[int]string
	flaws []error // the first few
	ended error
}

// dial connects without a token and waits for the connected event.
func dial(addr string) (*wsClient, error) { return login(websocket.DefaultDialer, "ws://"+addr, "") }

// login connects to a server, with a token unless that is empty, and waits for the connected event.
func login(dialer *websocket.Dialer, server, token string) (*wsClient, error) {
	conn, _, err := dialer.Dial(server+"/socket.io/?EIO=4&transport=websocket", nil)
	if err != nil {
		return nil, err
	}
	c := &wsClient{conn: conn, events: make(chan event, 10_000), acks: map[int]chan object{}, asked: map[int]string{}}
	go c.read()
	connect := "40"
	if token != "" {
		connect += fmt.Sprintf(`{"token":%q}`, token)
	}
	if err := c.write(connect); err != nil {
		return nil, err
	}
	c.hello, err = c.await("connected", func(object) bool { return true })
	return c, err
}

// refusal is why the server did not let a client join.
type refusal struct{ Data object }

func (r *refusal) Error() string { return fmt.Sprintf("refused: %v", r.Data) }

func (m *manager) dial() *wsClient {
	m.t.Helper()
	c, err := dial(m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	c.judging.Store(true)
	m.t.Cleanup(func() {
		c.close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, flaw := range c.flaws {
			m.t.Errorf("not as api/asyncapi.yaml says: %v", flaw)
		}
	})
	return c
}

// document is api/asyncapi.yaml.
var document = sync.OnceValues(asyncapi.Load)

const maxFlaws = 5

// judge notes what the document does not allow.
func (c *wsClient) judge(message string, body []byte) {
	if !c.judging.Load() || message == "" {
		return
	}
	d, err := document()
	if err == nil {
		err = d.Judge(message, body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && len(c.flaws) < maxFlaws {
		c.flaws = append(c.flaws, err)
	}
}

// acknowledges names the message that answers what was asked under id.
func (c *wsClient) acknowledges(id int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := document()
	if err != nil {
		return c.asked[id]
	}
	return d.Ack(c.asked[id])
}

func (c *wsClient) close() { c.conn.Close() }

// drain passes over all events until the connection ends: a client that does not read is cut off.
func (c *wsClient) drain() {
	for range c.events {
	}
}

func (c *wsClient) write(frame string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn.WriteMessage(websocket.TextMessage, []byte(frame))
}

func (c *wsClient) read() {
	for {
		_, data, err := c.conn.ReadMessage()
		if err == nil && strings.HasPrefix(string(data), "44") {
			no := &refusal{}
			if err = json.Unmarshal(data[2:], no); err == nil {
				err = no
			}
		}
		if err != nil {
			c.end(err)
			return
		}
		frame := string(data)
		switch {
		case frame == "2":
			_ = c.write("3") // a broken connection ends the next read
		case c.uneager.Load() && strings.HasPrefix(frame, `42["message_received"`):
		case strings.HasPrefix(frame, "42"):
			c.event(frame[2:])
		case strings.HasPrefix(frame, "43"):
			c.ack(frame[2:])
		}
	}
}

func (c *wsClient) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = err
	for _, ack := range c.acks {
		close(ack)
	}
	c.acks = nil
	close(c.events)
}

func (c *wsClient) event(text string) {
	var parts []json.RawMessage
	var e event
	if json.Unmarshal([]byte(text), &parts) != nil || len(parts) == 0 || json.Unmarshal(parts[0], &e.Name) != nil {
		panic("not an event: " + text)
	}
	if len(parts) > 1 {
		_ = json.Unmarshal(parts[1], &e.Data) // events of this server carry an object
		c.judge(e.Name, parts[1])
	}
	c.events <- e
}

func (c *wsClient) ack(text string) {
	var id int
	var bodies []object
	var raw []json.RawMessage
	at := strings.IndexByte(text, '[')
	if _, err := fmt.Sscan(text[:at], &id); err != nil {
		panic("not an ack: " + text)
	}
	if errors.Join(json.Unmarshal([]byte(text[at:]), &bodies), json.Unmarshal([]byte(text[at:]), &raw)) != nil {
		panic("not an ack: " + text)
	}
	c.judge(c.acknowledges(id), raw[0])
	c.mu.Lock()
	defer c.mu.Unlock()
	if ack, ok := c.acks[id]; ok {
		delete(c.acks, id)
		ack <- bodies[0]
	}
}

// ask sends a request and returns its acknowledgement; an error of the connection means that none came.
func (c *wsClient) ask(name string, body any) (object, error) {
	c.mu.Lock()
	if c.acks == nil {
		c.mu.Unlock()
		return nil, c.ended
	}
	id, ack := c.next, make(chan object, 1)
	c.next++
	c.acks[id], c.asked[id] = ack, name
	c.mu.Unlock()
	payload, err := json.Marshal([]any{name, body})
	if err != nil {
		return nil, err
	}
	if err := c.write(fmt.Sprintf("42%d%s", id, payload)); err != nil {
		return nil, err
	}
	select {
	case answer, ok := <-ack:
		if !ok {
			return nil, fmt.Errorf("%s: the connection ended before the answer", name)
		}
		return answer, nil
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: no answer", name)
	}
}

// must is ask for a request that is accepted.
func (c *wsClient) must(t *testing.T, name string, body any) object {
	t.Helper()
	answer, err := c.ask(name, body)
	if err != nil {
		t.Fatal(err)
	}
	if answer["ok"] != true {
		t.Fatalf("%s: %v", name, answer)
	}
	return answer
}

// refused is ask for a request that ends in an error of the given type.
func (c *wsClient) refused(t *testing.T, name string, body any, errorType string) object {
	t.Helper()
	answer, err := c.ask(name, body)
	if err != nil {
		t.Fatal(err)
	}
	if answer["error"] != true || answer["error_type"] != errorType {
		t.Fatalf("%s: got %v, want %s", name, answer, errorType)
	}
	return answer
}

// await takes events until one fits.
func (c *wsClient) await(name string, fits func(object) bool) (object, error) {
	timeout := time.After(patience)
	var passed []string
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return nil, fmt.Errorf("the connection ended before %s came: %w", name, c.ended)
			}
			if e.Name == name && fits(e.Data) {
				return e.Data, nil
			}
			passed = append(passed, fmt.Sprintf("%s %v", e.Name, e.Data))
		case <-timeout:
			return nil, fmt.Errorf("%s did not come, but %v", name, passed)
		}
	}
}

// collect adds all events to what was heard, up to the first that is the last.
func (c *wsClient) collect(t *testing.T, heard *string, last func(event) bool) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				t.Fatalf("the connection ended: %v; heard %s", c.ended, *heard)
			}
			*heard += fmt.Sprintln(e.Name, e.Data)
			if last(e) {
				return
			}
		case <-timeout:
			t.Fatalf("heard only %s", *heard)
		}
	}
}

// wait is await for an event about one container.
func (c *wsClient) wait(t *testing.T, name string, id any) object {
	t.Helper()
	data, err := c.await(name, func(o object) bool { return id == nil || o["container_id"] == id })
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// run declares a flow and returns its id once it runs and its process is connected.
func (c *wsClient) run(t *testing.T, spec object) string {
	t.Helper()
	if spec["image"] == nil {
		spec["image"] = echoImage
	}
	id := c.must(t, "apply_container", spec)["container_id"].(string)
	c.wait(t, "container_created", id)
	return id
}

// status is a container's status as get_container tells it.
func (c *wsClient) status(t *testing.T, id string) object {
	t.Helper()
	return c.must(t, "get_container", object{"container_id": id})["container"].(object)["status"].(object)
}
