package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// messageBytes is the length of a message and of the reply to it.
const messageBytes = 256

// message is what clients send to flows.
func message() []byte { return padded(`{"type":"go","body":"%s"}`) }

func padded(format string) []byte {
	return fmt.Appendf(nil, format, strings.Repeat("x", messageBytes-len(format)+len("%s")))
}

// answerMessages is the flow's side: one reader, which decodes no more than a message's id, and one write for each reply.
func answerMessages(conn net.Conn) {
	in := bufio.NewReader(conn)
	body := padded(`{"type":"gone","body":"%s","reply_to":"`)
	for {
		text, err := readFrame(in)
		if err != nil {
			return // the manager is gone, or the row is over
		}
		if bytes.HasPrefix(text, []byte(`{"type":"status"`)) || bytes.HasPrefix(text, []byte(`{"type":"lifecycle"`)) {
			continue
		}
		_, id, _ := bytes.Cut(text, []byte(`"id":"`))
		id, _, _ = bytes.Cut(id, []byte(`"`))
		if _, err := conn.Write(framed(body, id, []byte(`"}`))); err != nil {
			return
		}
	}
}

func framed(parts ...[]byte) []byte {
	frame := binary.BigEndian.AppendUint32(nil, 0)
	for _, p := range parts {
		frame = append(frame, p...)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(r, body)
	return body, err
}
