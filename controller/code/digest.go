package code

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
)

// canonicalForm heads what a digest is of; doc.go describes the rest.
const canonicalForm = "flow-manager code snapshot 1\n"

// isDigest tells whether text has the form of a digest. No such text can lead out of a folder.
func isDigest(text string) bool {
	return len(text) == hex.EncodedLen(sha256.Size) && strings.Trim(text, "0123456789abcdef") == ""
}

// digester makes the digest of a tree from its entries, told in order.
type digester struct{ hash hash.Hash }

func newDigester() digester {
	d := digester{sha256.New()}
	_, _ = io.WriteString(d.hash, canonicalForm) // a hash never fails
	return d
}

// add adds e; sum is that of a file's contents.
func (d digester) add(e entry, sum []byte) {
	d.hash.Write([]byte{byte(e.kind)})
	d.field([]byte(e.path))
	if e.kind == kindLink {
		sum = []byte(e.target)
	}
	d.field(sum)
}

func (d digester) field(value []byte) {
	d.hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(value))))
	d.hash.Write(value)
}

func (d digester) String() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// reader reads files and sums up what they hold.
type reader struct {
	hash   hash.Hash
	buffer []byte
}

func newReader() *reader { return &reader{sha256.New(), make([]byte, 128<<10)} }

// read passes the contents of e to to and returns their sum. It reads no more than the size that e has.
func (r *reader) read(ctx context.Context, file *os.File, e entry, to io.Writer) ([]byte, error) {
	r.hash.Reset()
	for left := e.stamp.size; ; {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the code: %w", err)
		}
		n, err := file.Read(r.buffer)
		left -= int64(n)
		switch {
		case left < 0, errors.Is(err, io.EOF) && left > 0:
			return nil, changed(e.path)
		case errors.Is(err, io.EOF):
			return r.hash.Sum(nil), nil
		case err != nil:
			return nil, unreadable(e.path, err)
		}
		r.hash.Write(r.buffer[:n])
		if _, err := to.Write(r.buffer[:n]); err != nil {
			return nil, unwritable(err)
		}
	}
}
