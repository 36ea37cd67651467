// Command hostile is a flow that does its manager what harm it can: its argument says how, until it is stopped.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// attacks are what is done with a connection; when one returns, the next connection is made.
func attacks() map[string]func(net.Conn) {
	return map[string]func(net.Conn){
		"flood":     flood,
		"giant":     giant,
		"drip":      drip,
		"deaf":      func(net.Conn) { time.Sleep(time.Hour) },
		"crowd":     crowd,
		"hasty":     func(net.Conn) { time.Sleep(time.Millisecond) }, // 1,000 connections a second
		"malformed": malformed,
		"liar":      liar,
	}
}

func main() {
	attack := attacks()[os.Args[1]]
	for {
		conn, err := dial()
		if err != nil {
			time.Sleep(time.Millisecond) // too many wait to be accepted
			continue
		}
		attack(conn)
		_ = conn.Close() // the manager may have been faster
	}
}

func dial() (net.Conn, error) { return net.Dial("unix", os.Getenv("FLOW_SOCKET")) }

func frame(body string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// repeat says the same frames for as long as they are taken.
func repeat(conn net.Conn, bodies ...string) {
	for {
		for _, body := range bodies {
			if _, err := conn.Write(frame(body)); err != nil {
				return
			}
		}
	}
}

func flood(conn net.Conn) {
	repeat(conn, `{"type":"flood","body":"`+strings.Repeat("x", 64<<10)+`"}`)
}

// giant announces 4 GiB and begins to send them.
func giant(conn net.Conn) {
	if _, err := conn.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
		return
	}
	for {
		if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

// drip sends a whole frame, one byte a second.
func drip(conn net.Conn) {
	for _, b := range frame(`{"type":"drip","body":"` + strings.Repeat("x", 1000) + `"}`) {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(time.Second)
	}
}

const (
	crowdSize = 10_000
	crowdHeld = 500 // at once: an open file each, of which the container may have 1,024
)

// crowd makes many connections and lets go of none until it must.
func crowd(net.Conn) {
	var held []net.Conn
	for range crowdSize {
		conn, err := dial()
		if err != nil {
			time.Sleep(time.Millisecond)
			continue
		}
		if held = append(held, conn); len(held) > crowdHeld {
			_ = held[0].Close() // most likely the manager did
			held = held[1:]
		}
	}
	for _, conn := range held {
		_ = conn.Close() // as above
	}
}

// malformed says what is no message, or one that parsers read differently.
func malformed(conn net.Conn) {
	go io.Copy(io.Discard, conn)
	deep := func(n int) string {
		return `{"type":"deep","a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	repeat(conn, deep(5_000), deep(400_000), "{\"type\":\"\xff\"}", `"text"`, `{"type":"a","type":"status","id":1,"id":{}}`, `{"type":`, "",
		`{"type":"actor_event","actor":{}}`)
}

// liar replies to every message twice, to others that it was never asked, and to none.
func liar(conn net.Conn) {
	if _, err := conn.Write(frame(`{"type":"hello"}`)); err != nil {
		return
	}
	go repeat(conn, `{"type":"lie","reply_to":"00000000000000000000"}`, `{"type":"lie","reply_to":{}}`, `{"type":"lie","reply_to":""}`)
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		var asked struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(body, &asked) // what has no id is answered all the same
		reply := frame(fmt.Sprintf(`{"type":"lie","reply_to":%q}`, asked.ID))
		if _, err := conn.Write(append(reply, reply...)); err != nil {
			return
		}
	}
}
