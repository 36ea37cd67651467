package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/flow-manager/flow-manager/sockets"
	"github.com/flow-manager/flow-manager/store"
)

// A running manager has its store's file for itself. The user that it runs as, and root, may ask it for a copy at admin.sock
// in the run directory.
const (
	adminSocket = "admin.sock"
	// storeHeader says which file a copy is of, so that nobody gets that of another manager.
	storeHeader = "Flow-Manager-Store"
	// readerPatience is how long who asked may take nothing; backupPatience how long all of it may take. A copy that is being
	// read keeps what commits free meanwhile from being used again.
	readerPatience = 10 * time.Second
	backupPatience = 5 * time.Minute
)

// admin answers at admin.sock.
type admin struct {
	listener net.Listener
	store    *store.Store
	file     string
	log      zerolog.Logger
	turn     chan struct{} // holds one: one copy at a time
}

func openAdmin(s *settings, st *store.Store, log zerolog.Logger) (*admin, error) {
	listener, err := sockets.ListenOwn(filepath.Join(s.RunDir, adminSocket))
	if errors.Is(err, sockets.ErrTaken) {
		return nil, usageError{fmt.Errorf("--run-dir %s belongs to another manager that runs: %w", s.RunDir, err)}
	}
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", adminSocket, err)
	}
	return &admin{listener: listener, store: st, file: store.Path(s.DataDir), log: log, turn: make(chan struct{}, 1)}, nil
}

// run answers until ctx ends; a copy that is under way is cut off then.
func (a *admin) run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /backup", a.backup)
	server := &http.Server{Handler: mux, ReadTimeout: readerPatience, IdleTimeout: readerPatience, MaxHeaderBytes: 4096}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // its listener is closed once more when the manager ends
	defer stop()
	if err := server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer at %s: %w", adminSocket, err)
	}
	return nil
}

// close takes the socket away.
func (a *admin) close() error {
	if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", adminSocket, err)
	}
	return nil
}

// backup sends a copy of the store. One that was not sent whole is shorter than its header says, so that nobody takes it for one.
func (a *admin) backup(w http.ResponseWriter, r *http.Request) {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	default:
		http.Error(w, "another backup is under way; try again when it has ended", http.StatusConflict)
		return
	}
	log := a.log.With().Str("operation", "backup").Logger()
	began, sent := time.Now(), false
	err := a.store.Backup(func(size int64) io.Writer {
		sent = true
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set(storeHeader, url.PathEscape(a.file))
		return pacedWriter{w, http.NewResponseController(w), began.Add(backupPatience)}
	})
	if err != nil && !sent {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
	if err != nil {
		log.Warn().Err(err).Dur("took", time.Since(began)).Msg("a backup was not sent whole")
		return
	}
	log.Info().Dur("took", time.Since(began)).Msg("a backup was sent")
}

// pacedWriter gives its reader a deadline for each part, and one for all.
type pacedWriter struct {
	io.Writer
	control *http.ResponseController
	end     time.Time
}

// Write implements io.Writer.
func (p pacedWriter) Write(b []byte) (int, error) {
	deadline := time.Now().Add(readerPatience)
	if deadline.After(p.end) {
		deadline = p.end
	}
	if err := p.control.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return p.Writer.Write(b)
}

var errNobody = errors.New("no manager of this store answers")

// askRunning gets a copy of the store in s from the manager that runs on it. errNobody means that nothing was written.
func askRunning(ctx context.Context, s *storeSettings, w io.Writer) error {
	socket := filepath.Join(s.RunDir, adminSocket)
	client := http.Client{Transport: &http.Transport{ResponseHeaderTimeout: readerPatience,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/backup", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("%w at %s", errNobody, socket)
	}
	if err != nil {
		return fmt.Errorf("ask the running manager: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // it explains, and no more
		return fmt.Errorf("the running manager gives no backup: %s", why)
	}
	if !ofStore(answer, store.Path(s.DataDir)) {
		return fmt.Errorf("%w at %s", errNobody, socket)
	}
	if _, err := io.Copy(w, answer.Body); err != nil {
		return fmt.Errorf("receive the backup: %w", err)
	}
	return nil
}

// ofStore tells whether an answer is about the file at path, whatever either calls it.
func ofStore(answer *http.Response, path string) bool {
	theirs, err := url.PathUnescape(answer.Header.Get(storeHeader))
	if err != nil {
		return false
	}
	one, err := os.Stat(theirs)
	other, gone := os.Stat(path)
	return err == nil && gone == nil && os.SameFile(one, other)
}
