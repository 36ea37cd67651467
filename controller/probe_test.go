package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// fakeProber is a host and an engine that lack what its fields say.
type fakeProber struct {
	bind           error
	left           []Space
	noImage, noNet bool
	unknown        string
	broken         error // every look at the engine fails
	bound          []string
}

func (p *fakeProber) Bind(protocol string, at api.HostPort) (string, error) {
	p.bound = append(p.bound, fmt.Sprintf("%d/%s", at.Port, protocol))
	return at.Address, p.bind
}

func (p *fakeProber) Space(context.Context) ([]Space, error)              { return p.left, p.broken }
func (p *fakeProber) HasImage(context.Context, string) (bool, error)      { return !p.noImage, p.broken }
func (p *fakeProber) HasNetwork(context.Context, string) (bool, error)    { return !p.noNet, p.broken }
func (p *fakeProber) UnknownUser(context.Context, string) (string, error) { return p.unknown, p.broken }

// An error that the engine does not class is told by what a look at the host and the engine finds, and is over once the
// engine takes the call.
func TestController_AnUnclassedErrorIsProbed(t *testing.T) {
	full := []Space{{"/engine", 1 << 40, 1 << 20}, {"/data", 4096, 1 << 20}}
	taken := fmt.Errorf("bind: %w", syscall.EADDRINUSE)
	tests := []struct {
		name   string
		call   string
		cause  error
		prober fakeProber
		reason string
		kind   api.ErrorType
		says   []string
	}{
		{"port taken", "start", errEngine, fakeProber{bind: taken}, "PortTaken", api.ConflictError, []string{"8080/udp", "127.0.0.9", "stop what listens there"}},
		{"address of another host", "start", errEngine, fakeProber{bind: syscall.EADDRNOTAVAIL}, "AddressNotAvailable", api.DockerAPIError, []string{"127.0.0.9", "declare an address"}},
		{"a port that may not be bound", "start", errEngine, fakeProber{bind: syscall.EACCES}, "StartFailed", api.DockerAPIError, []string{errEngine.Error()}},
		{"port before space", "start", errEngine, fakeProber{bind: taken, left: full}, "PortTaken", api.ConflictError, nil},
		{"no space at a start", "start", errEngine, fakeProber{left: full}, "NoSpace", api.SystemError, []string{"/data", "4096 bytes", "could not start", "make room"}},
		{"no space at a create", "create", errEngine, fakeProber{left: full}, "NoSpace", api.SystemError, []string{"/data", "could not create"}},
		{"no inodes", "create", errEngine, fakeProber{left: []Space{{"/engine", 1 << 40, 3}}}, "NoSpace", api.SystemError, []string{"/engine", "3 inodes"}},
		{"space enough", "create", errEngine, fakeProber{left: full[:1]}, "EngineError", api.DockerAPIError, []string{errEngine.Error()}},
		{"no image", "create", errEngine, fakeProber{noImage: true, left: full}, "ImageNotFound", api.ImageNotFound, []string{`"app"`}},
		{"no network", "start", errEngine, fakeProber{noNet: true}, "NetworkNotFound", api.DockerAPIError, []string{`"bridge"`, "create it there"}},
		{"no user", "start", errEngine, fakeProber{unknown: "nobody-here"}, "UserNotFound", api.DockerAPIError, []string{`"nobody-here"`}},
		{"nothing is found", "start", errEngine, fakeProber{}, "StartFailed", api.DockerAPIError, []string{errEngine.Error()}},
		{"the looks fail", "start", errEngine, fakeProber{broken: ErrUnavailable}, "StartFailed", api.DockerAPIError, []string{errEngine.Error()}},
		{"a look fails and the next one finds", "create", errEngine, fakeProber{left: full, broken: errEngine}, "NoSpace", api.SystemError, nil},
		{"a class is not probed", "create", ErrInvalid, fakeProber{noImage: true, left: full}, "InvalidSpec", api.DockerAPIError, nil},
		{"something else is missing at a start", "start", ErrAbsent, fakeProber{noNet: true}, "NetworkNotFound", api.DockerAPIError, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.stop()
				w.boot(Config{Prober: &tt.prober})
				w.engine.behind(func() { w.engine.before = always(tt.call, tt.cause) })
				w.declare("web", func(s *api.Spec) { s.Ports = map[string]api.HostPort{"53/udp": {Address: "127.0.0.9", Port: 8080}} })
				st := w.status("web")
				if c := st.Condition(api.Degraded); c.Reason != tt.reason || c.Status != api.True || st.LastError == nil || st.LastError.ErrorType != tt.kind {
					t.Fatalf("status: %s", api.Encode(st))
				}
				for _, part := range tt.says {
					if !strings.Contains(st.LastError.Message, part) {
						t.Errorf("%q does not name %q", st.LastError.Message, part)
					}
				}
				w.engine.behind(func() { w.engine.before = nil })
				w.after(2 * time.Second)
				if st := w.status("web"); st.State != api.StateRunning || st.LastError != nil || st.Condition(api.Degraded).Status != api.False {
					t.Errorf("once the engine takes it: %s", api.Encode(st))
				}
			})
		})
	}
}

// Where no network is to be had, none is missing, whatever the engine answers to a look for one of that name.
func TestController_NoNetworkIsNotMissed(t *testing.T) {
	for _, network := range []string{api.NetworkNone, api.NetworkHost} {
		inWorld(t, func(w *world) {
			w.stop()
			w.boot(Config{Prober: &fakeProber{noNet: true}, Policy: Policy{HostNetwork: true}})
			w.engine.behind(func() { w.engine.before = always("start", errEngine) })
			w.declare("web", func(s *api.Spec) { s.Network = network })
			if c := w.status("web").Condition(api.Degraded); c.Reason != api.ReasonStartFailed {
				t.Errorf("network %s: %s", network, api.Encode(c))
			}
		})
	}
}

func TestController_APortIsTriedAsItWasDeclared(t *testing.T) {
	inWorld(t, func(w *world) {
		prober := &fakeProber{}
		w.stop()
		w.boot(Config{Prober: prober})
		w.engine.behind(func() { w.engine.before = once("start", errEngine) })
		w.declare("web", func(s *api.Spec) {
			s.Ports = map[string]api.HostPort{"80": {}, "53/udp": {Port: 9}, "90/sctp": {Port: 10}}
		})
		r, err := w.store.Resolve("web")
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("9/udp %d/tcp 10/sctp", r.Current.Ports["80"].Port) // one that nobody has on this host
		if got := strings.Join(prober.bound, " "); got != want {
			t.Errorf("tried %s, want %s", got, want)
		}
	})
}

func TestBind_TellsATakenPortByItsProtocol(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	tests := []struct {
		protocol, address string
		want              error
	}{
		{"tcp", "127.0.0.1", syscall.EADDRINUSE},
		{"tcp", "0.0.0.0", syscall.EADDRINUSE},
		{"tcp", "", syscall.EADDRINUSE},
		{"udp", "127.0.0.1", nil},
		{"sctp", "127.0.0.1", nil},
		{"tcp", "192.0.2.1", syscall.EADDRNOTAVAIL}, // a documentation address is nobody's
	}
	for _, tt := range tests {
		if err := Bind(tt.protocol, tt.address, port); !errors.Is(err, tt.want) {
			t.Errorf("%s %s: got %v, want %v", tt.protocol, tt.address, err, tt.want)
		}
	}
}
