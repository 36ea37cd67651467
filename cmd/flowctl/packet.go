package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The Engine.IO packet types, and those of Socket.IO inside an Engine.IO message.
const (
	engineOpen    = '0'
	engineClose   = '1'
	enginePing    = '2'
	enginePong    = '3'
	engineMessage = '4'
	engineNoop    = '6'

	socketConnect    = '0'
	socketDisconnect = '1'
	socketEvent      = '2'
	socketAck        = '3'
	socketRefused    = '4'
)

var errMalformed = errors.New("the server sent something that is not Socket.IO")

// readSilence gives how long the server may be silent by its open packet.
func readSilence(body []byte) (time.Duration, error) {
	var open struct {
		PingInterval int64 `json:"pingInterval"` // milliseconds, as is the time-out
		PingTimeout  int64 `json:"pingTimeout"`
	}
	err := json.Unmarshal(body, &open)
	silence := time.Duration(open.PingInterval+open.PingTimeout) * time.Millisecond
	if err != nil || silence <= 0 {
		return 0, fmt.Errorf("%w: open packet %.100q", errMalformed, body)
	}
	return silence, nil
}

// readEvent reads `<id>["name",data]`; the id, which asks for an acknowledgement, is ignored.
func readEvent(body []byte) (Event, error) {
	var parts []json.RawMessage
	var e Event
	array := bytes.TrimLeft(body, "0123456789")
	if json.Unmarshal(array, &parts) != nil || len(parts) == 0 || json.Unmarshal(parts[0], &e.Name) != nil {
		return e, fmt.Errorf("%w: event %.100q", errMalformed, body)
	}
	if len(parts) > 1 {
		e.Data = parts[1]
	}
	return e, nil
}

// readAck reads `<id>[body]`.
func readAck(body []byte) (id uint64, ack json.RawMessage, err error) {
	var parts []json.RawMessage
	array := bytes.TrimLeft(body, "0123456789")
	id, err = strconv.ParseUint(string(body[:len(body)-len(array)]), 10, 64)
	if err != nil || json.Unmarshal(array, &parts) != nil || len(parts) == 0 {
		return 0, nil, fmt.Errorf("%w: acknowledgement %.100q", errMalformed, body)
	}
	return id, parts[0], nil
}

// encode is v as JSON, without the detour of escaping HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode a packet: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
