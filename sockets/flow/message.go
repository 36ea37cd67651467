package flow

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	maxFrame     = 1 << 20          // bytes of JSON that the manager takes
	writeTimeout = 10 * time.Second // for the manager to take them
)

// Message is what a client, or the manager, said.
type Message struct {
	Type string          // "" where it has none
	Body json.RawMessage // the whole object, as it came

	id   json.RawMessage
	flow *Flow
}

// Decode reads the message into v, as json.Unmarshal does.
func (m *Message) Decode(v any) error { return json.Unmarshal(m.Body, v) }

// Reply sends v, which becomes a JSON object, as the answer to m. It may be called at any time, also when m's handler has
// returned.
func (m *Message) Reply(ctx context.Context, v any) error {
	body, err := object(v)
	if err != nil {
		return err
	}
	var reply map[string]json.RawMessage
	if err := json.Unmarshal(body, &reply); err != nil {
		return err
	}
	reply["reply_to"] = m.id // nil is null; in the place of v's own, as two would be no reply to anything
	return m.flow.Emit(ctx, reply)
}

// Emit sends v, which becomes a JSON object, to whoever watches the flow.
func (f *Flow) Emit(ctx context.Context, v any) error {
	body, err := object(v)
	if err != nil {
		return err
	}
	conn, err := f.connection(ctx)
	if err != nil {
		return err
	}
	return f.send(conn, body)
}

// Event tells that an actor did something; the manager keeps that in its log of activity. data may be anything.
func (f *Flow) Event(ctx context.Context, actor, event string, data any) error {
	return f.Emit(ctx, map[string]any{"type": "actor_event", "actor": actor, "event": event, "data": data})
}

const readyFrame = `{"type":"ready"}`

// Ready says, to this manager and those that follow it, that the flow does its work. It does not wait for a connection.
func (f *Flow) Ready() {
	f.mu.Lock()
	f.ready = true
	conn := f.conn
	f.mu.Unlock()
	if conn != nil {
		_ = f.send(conn, []byte(readyFrame)) // the next connection begins with it
	}
}

// Heartbeat says that the flow lives, for a container that is taken for unhealthy where it is silent.
func (f *Flow) Heartbeat(ctx context.Context) error {
	return f.Emit(ctx, json.RawMessage(`{"type":"heartbeat"}`))
}

func object(v any) (json.RawMessage, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if body[0] != '{' {
		return nil, fmt.Errorf("a message is a JSON object; this is %.20s", body)
	}
	return body, nil
}

// send writes a frame to conn. One that is cut off ends conn: nothing after it could be told apart.
func (f *Flow) send(conn net.Conn, body []byte) error {
	if len(body) > maxFrame {
		return fmt.Errorf("a message has at most %d bytes; this one has %d", maxFrame, len(body))
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	f.writing.Lock()
	defer f.writing.Unlock()
	err := conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = conn.Write(frame)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write to the manager: %w", err), conn.Close())
	}
	return nil
}

// readFrame reads the body of one frame.
func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame has at most %d bytes; this one has %d", maxFrame, n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}
