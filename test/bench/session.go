package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/xid"
)

// session is one Socket.IO session that decodes no more than it has to, so that it measures the server and not itself.
type session struct {
	conn *websocket.Conn

	writing sync.Mutex

	mu       sync.Mutex
	last     int
	acks     map[int]chan []byte
	expected map[string]chan []byte // answers, by request id
	heard    func(frame []byte)     // gets every event; nil: nobody wants them
	err      error
}

var errRefused = errors.New("refused")

// The bare library loses a CONNECT that comes too soon for it: then there is another try after a moment.
const (
	maxTries = 5
	joinTime = 2 * time.Second
)

// dial joins a server, ours or the bare library.
func dial(ctx context.Context, addr string) (*session, error) {
	for tries := 1; ; tries++ {
		conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket", nil)
		if err != nil {
			return nil, fmt.Errorf("dial %s: %w", addr, err)
		}
		c := &session{conn: conn, acks: map[int]chan []byte{}, expected: map[string]chan []byte{}}
		if err = c.join(); err == nil {
			go c.read()
			return c, nil
		}
		c.close()
		if tries == maxTries {
			return nil, fmt.Errorf("join %s: %w", addr, err)
		}
	}
}

func (c *session) join() error {
	_ = c.conn.SetReadDeadline(time.Now().Add(joinTime)) // fails on a closed connection only, which the read tells
	_, frame, err := c.conn.ReadMessage()
	if err != nil || len(frame) == 0 || frame[0] != '0' {
		return fmt.Errorf("handshake %q: %w", frame, err)
	}
	if err := c.write([]byte("40")); err != nil {
		return err
	}
	_, frame, err = c.conn.ReadMessage()
	if err != nil || !bytes.HasPrefix(frame, []byte("40")) {
		return fmt.Errorf("connect %q: %w", frame, err)
	}
	return c.conn.SetReadDeadline(time.Time{})
}

// close may be repeated.
func (c *session) close() { _ = c.conn.Close() }

func (c *session) write(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.conn.WriteMessage(websocket.TextMessage, frame)
}

func (c *session) read() {
	for {
		_, frame, err := c.conn.ReadMessage()
		switch {
		case err != nil:
			c.end(err)
			return
		case bytes.Equal(frame, []byte("2")):
			_ = c.write([]byte("3")) // a broken connection ends the next read
		case bytes.HasPrefix(frame, []byte("42")):
			c.event(frame)
		case bytes.HasPrefix(frame, []byte("43")):
			c.ack(frame[2:])
		}
	}
}

func (c *session) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, ack := range c.acks {
		close(ack)
	}
	for _, answer := range c.expected {
		close(answer)
	}
	c.acks, c.expected = nil, nil
}

// ack takes id[body].
func (c *session) ack(text []byte) {
	at := bytes.IndexByte(text, '[')
	id, err := strconv.Atoi(string(text[:max(at, 0)]))
	if err != nil {
		return // not one that was asked for
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ack := c.acks[id]; ack != nil {
		ack <- text[at+1 : len(text)-1]
		delete(c.acks, id)
	}
}

// event hands answers to whoever expects them; news are decoded only while anybody expects an answer.
func (c *session) event(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heard != nil {
		c.heard(frame)
	}
	if len(c.expected) == 0 || !bytes.Contains(frame, []byte(`"request_id":"`)) {
		return
	}
	var body struct {
		RequestID string `json:"request_id"`
	}
	data := frame[bytes.IndexByte(frame, ',')+1 : len(frame)-1]
	if json.Unmarshal(data, &body) != nil {
		return
	}
	if answer := c.expected[body.RequestID]; answer != nil {
		answer <- data
		delete(c.expected, body.RequestID)
	}
}

// hear has f called with every event, on the goroutine that reads them.
func (c *session) hear(f func(frame []byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = f
}

// ask sends an event with a body of JSON and returns its acknowledgement.
func (c *session) ask(ctx context.Context, event string, body []byte) ([]byte, error) {
	ack := make(chan []byte, 1)
	c.mu.Lock()
	if c.acks == nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.last++
	id := c.last
	c.acks[id] = ack
	c.mu.Unlock()
	if err := c.write(fmt.Appendf(nil, `42%d[%q,%s]`, id, event, body)); err != nil {
		return nil, err
	}
	answer, err := receive(ctx, ack)
	if err == nil && bytes.HasPrefix(answer, []byte(`{"error":true`)) {
		err = fmt.Errorf("%s: %w: %.500s", event, errRefused, answer)
	}
	return answer, err
}

// declare sends a request and waits for the event that tells what came of it.
func (c *session) declare(ctx context.Context, event string, body map[string]any) ([]byte, error) {
	id, answer := xid.New().String(), make(chan []byte, 1)
	body["request_id"] = id
	text, err := json.Marshal([]any{event, body})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.expected == nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.expected[id] = answer
	c.mu.Unlock()
	if err := c.write(append([]byte("42"), text...)); err != nil {
		return nil, err
	}
	got, err := receive(ctx, answer)
	if err == nil && bytes.Contains(got, []byte(`"error":true`)) {
		err = fmt.Errorf("%s: %w: %.500s", event, errRefused, got)
	}
	return got, err
}

var errSilent = errors.New("no answer")

func receive(ctx context.Context, answers <-chan []byte) ([]byte, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case answer, ok := <-answers:
		if !ok {
			return nil, fmt.Errorf("%w: the connection ended", errSilent)
		}
		return answer, nil
	case <-timer.C:
		return nil, errSilent
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
