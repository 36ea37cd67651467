package sockets

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/flow-manager/flow-manager/api/rawjson"
)

const headerSize = 4

// readStep is how much is allocated on the word of a header alone; a longer body grows as its bytes arrive.
const readStep = 32 << 10

// tooLongError is the length that a header named, where it is over the limit. What follows cannot be told apart any more.
type tooLongError struct{ length, limit uint32 }

func (e *tooLongError) Error() string {
	return fmt.Sprintf("the frame's header announces %d bytes and %d are allowed; a frame begins with the length of its JSON as 4 bytes, big-endian",
		e.length, e.limit)
}

// readFrame reads one frame's body. It returns io.EOF only between frames, io.ErrUnexpectedEOF within one.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if int64(length) > int64(limit) {
		return nil, &tooLongError{length, uint32(limit)}
	}
	return readBody(r, int(length))
}

// holdsFrame tells whether a whole frame has been read ahead, so that there is nothing to wait for.
func holdsFrame(r *bufio.Reader) bool {
	if r.Buffered() < headerSize {
		return false
	}
	header, err := r.Peek(headerSize)
	return err == nil && uint64(binary.BigEndian.Uint32(header)) <= uint64(r.Buffered()-headerSize)
}

func readBody(r io.Reader, length int) ([]byte, error) {
	body := make([]byte, 0, min(length, readStep))
	for len(body) < length {
		body = slices.Grow(body, min(length-len(body), readStep))
		n, err := io.ReadFull(r, body[len(body):min(cap(body), length)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

// frame makes the frame of a body, in one piece so that one write carries it.
func frame(body []byte) []byte {
	f := append(make([]byte, headerSize, headerSize+len(body)), body...)
	putLength(f)
	return f
}

// putLength makes a frame of a body that stands behind the place for its header.
func putLength(f []byte) { binary.BigEndian.PutUint32(f, uint32(len(f)-headerSize)) }

// frameOf makes the frame of an object.
func frameOf(o rawjson.Object) []byte {
	f := o.AppendTo(make([]byte, headerSize, headerSize+o.Size()))
	putLength(f)
	return f
}
