package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

func (c *Client) read() {
	defer close(c.ended)
	for c.err == nil {
		kind, packet, err := c.conn.ReadMessage()
		switch {
		case err != nil:
			c.err = c.lost(err)
		case kind != websocket.TextMessage || len(packet) == 0:
			c.err = fmt.Errorf("%w: a binary or empty packet", errMalformed)
		default:
			c.err = c.handle(packet[0], packet[1:])
		}
	}
	_ = c.conn.Close() // what ended the session is known
}

func (c *Client) lost(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return disconnected("%s fell silent: no ping within %s", c.server, c.silence)
	case errors.Is(err, websocket.ErrReadLimit):
		return fmt.Errorf("%s sent a message of more than %d bytes", c.server, maxIn)
	}
	return disconnected("lost the connection to %s: %w%s", c.server, err, c.warned())
}

func (c *Client) handle(kind byte, body []byte) (err error) {
	switch kind {
	case engineOpen:
		return c.open(body)
	case enginePing:
		c.renew()
		return c.write([]byte{enginePong})
	case engineMessage:
		return c.message(body)
	case engineClose:
		return disconnected("%s ended the connection%s", c.server, c.warned())
	case engineNoop:
		return nil
	}
	return fmt.Errorf("%w: packet %q", errMalformed, kind)
}

func (c *Client) open(body []byte) (err error) {
	if c.silence, err = readSilence(body); err != nil {
		return err
	}
	c.renew()
	connect := []byte{engineMessage, socketConnect}
	if c.token != "" {
		auth, err := encode(map[string]string{"token": c.token})
		if err != nil {
			return err
		}
		connect = append(connect, auth...)
	}
	return c.write(connect)
}

// renew gives the server until its next ping.
func (c *Client) renew() {
	_ = c.conn.SetReadDeadline(time.Now().Add(c.silence)) // fails on a closed connection only, which the next read tells
}

func (c *Client) message(body []byte) error {
	if len(body) == 0 {
		return fmt.Errorf("%w: an empty message", errMalformed)
	}
	switch kind, body := body[0], body[1:]; kind {
	case socketConnect:
		return c.accept()
	case socketRefused:
		return c.refusedBy(body)
	case socketDisconnect:
		return disconnected("%s ended the session%s", c.server, c.warned())
	case socketEvent:
		e, err := readEvent(body)
		c.deliver(e)
		return err
	case socketAck:
		id, ack, err := readAck(body)
		c.acknowledge(id, ack)
		return err
	}
	return fmt.Errorf("%w: message %.100q", errMalformed, body)
}

func (c *Client) accept() error {
	select {
	case <-c.joined:
		return fmt.Errorf("%w: it accepted the session twice", errMalformed)
	default:
		close(c.joined)
		return nil
	}
}

// refusedBy reads connect_error: the message, and where our server refused, its error object as data.
func (c *Client) refusedBy(body []byte) error {
	var refusal struct {
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &refusal) != nil || refusal.Message == "" {
		refusal.Message = string(body)
	}
	f := &Failure{}
	_ = json.Unmarshal(refusal.Data, f) // data of another server: its message says all
	f.Message = refusal.Message
	if f.Type == api.AuthenticationError {
		return fmt.Errorf("%s refused the session: %w; give a token with --token or FLOWCTL_TOKEN", c.server, f)
	}
	return fmt.Errorf("%s refused the session: %w", c.server, f)
}

func (c *Client) acknowledge(id uint64, body json.RawMessage) {
	c.mu.Lock()
	ack, heard := c.acks[id], c.heard
	delete(c.acks, id) // one acknowledgement a request: another finds nobody
	c.mu.Unlock()
	switch {
	case ack == nil:
	case heard == nil:
		ack <- body
	default:
		heard.push(incoming{ack: ack, body: body}, c.left)
	}
}

func (c *Client) deliver(e Event) {
	if heard := c.answer(e); heard != nil {
		heard.push(incoming{event: e}, c.left)
	}
}

// answer hands e to whom it was expected by, and returns where to tell of it besides, if anywhere.
func (c *Client) answer(e Event) *backlog {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Name == api.ErrorEvent {
		c.note(e)
	}
	var body struct {
		RequestID string `json:"request_id"`
	}
	if len(c.expected) == 0 || json.Unmarshal(e.Data, &body) != nil {
		return c.heard // an event that names no request is nobody's answer
	}
	if x, ok := c.expected[body.RequestID]; ok && slices.Contains(x.names, e.Name) {
		x.got <- e
		delete(c.expected, body.RequestID)
	}
	return c.heard
}

func (c *Client) note(e Event) {
	if f := failureOf(e.Data); f.RequestID == "" {
		c.warning = f
	}
}

func (c *Client) warned() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.warning == nil {
		return ""
	}
	return ": " + c.warning.Error()
}
