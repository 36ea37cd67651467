package code

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// Verify reads the snapshot of digest back. One that is not just what Take wrote, modes included, is ErrDamaged; one that is
// not there is ErrAbsent.
func (s *Snapshots) Verify(ctx context.Context, digest string) error {
	if !isDigest(digest) {
		return absent(digest)
	}
	root, err := openFolder(s.in(digest))
	switch {
	case errors.Is(err, unix.ENOENT):
		return absent(digest)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EACCES):
		return damaged(digest, err)
	case err != nil:
		return err
	}
	defer root.Close()
	return s.compare(ctx, root, digest)
}

func (s *Snapshots) compare(ctx context.Context, root folder, digest string) error {
	v := verifier{digest: newDigester(), reader: newReader()}
	w := walker{meter: meter{limits: s.limits}, visit: v.visit}
	err := w.walk(ctx, root)
	if err == nil && v.digest.String() != digest {
		err = fmt.Errorf("%w: its contents are those of %s", ErrDamaged, v.digest)
	}
	if isDamage(err) {
		return damaged(digest, err)
	}
	return err
}

// isDamage tells whether what came of reading a snapshot is the snapshot's fault. Nobody changes a snapshot, and Take refuses
// what it cannot be; the disk may lose it.
func isDamage(err error) bool {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Type == api.ValidationError {
		return true
	}
	for _, sign := range []error{ErrDamaged, ErrChanged, unix.EIO, unix.EUCLEAN, unix.EBADMSG} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

// verifier sums up the entries that it is told of.
type verifier struct {
	digest digester
	reader *reader
}

func (v *verifier) visit(ctx context.Context, in folder, e entry) error {
	if e.kind != kindLink && e.stamp.mode != e.kind.mode() {
		return fmt.Errorf("%w: the mode of %q is %o", ErrDamaged, e.path, e.stamp.mode)
	}
	if !e.kind.isFile() {
		v.digest.add(e, nil)
		return nil
	}
	file, err := in.open(e)
	if err != nil {
		return err
	}
	defer file.Close()
	sum, err := v.reader.read(ctx, file, e, io.Discard)
	if err == nil {
		v.digest.add(e, sum)
	}
	return err
}
