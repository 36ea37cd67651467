package controller

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flow-manager/flow-manager/api"
	"github.com/flow-manager/flow-manager/controller/hostpath"
	"github.com/flow-manager/flow-manager/store"
)

// hostFolder is one that only root can write to and above, with folders in it.
func hostFolder(t *testing.T, folders ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("folders that are root's own can be made by root only")
	}
	base, err := os.MkdirTemp("/srv", "flow-manager-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	for _, folder := range folders {
		if err := os.MkdirAll(base+folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return base
}

// obey starts the manager again under another policy.
func (w *world) obey(p Policy) {
	w.t.Helper()
	w.stop()
	w.boot(Config{Policy: p})
}

func relink(t *testing.T, target, link string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(link), os.Symlink(target, link)); err != nil {
		t.Fatal(err)
	}
}

func said(err error) (api.ErrorType, string) {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Type, e.Message
	}
	return "", ""
}

func TestController_Admit(t *testing.T) {
	base := hostFolder(t, "/open/in", "/closed")
	inWorld(t, func(w *world) {
		w.obey(Policy{HostPaths: hostpath.New([]string{base + "/open"}, nil), Volumes: []string{"listed"}, Networks: []string{"lan"}})
		w.engine.volumes = map[string]string{"ours": w.store.Instance(), "listed": "", "foreign": "another"}
		volume := func(source string) *api.Spec { return &api.Spec{Volumes: map[string]string{source: "/x"}} }
		tests := []struct {
			name   string
			spec   *api.Spec
			admin  bool
			refuse string
		}{
			{"nothing asked for", &api.Spec{}, false, ""},
			{"allowed path", volume(base + "/open/in"), false, ""},
			{"absent", volume(base + "/open/none"), false, "is not there, or not below"},
			{"outside", volume(base + "/closed"), false, "is not there, or not below"},
			{"absent, for an admin", volume(base + "/open/none"), true, "it is not there:"},
			{"outside, for an admin", volume(base + "/closed"), true, "it is not below a folder"},
			{"host network", &api.Spec{Network: api.NetworkHost}, false, "--allow-host-network"},
			{"listed network", &api.Spec{Network: "lan"}, false, ""},
			{"network that is not listed", &api.Spec{Network: "backend"}, false, "--allow-network"},
			{"network by its id", &api.Spec{Network: "0a94830dc8ab"}, false, "--allow-network"},
			{"no network", &api.Spec{Network: api.NetworkNone}, false, ""},
			{"new volume", volume("new"), false, ""},
			{"our volume", volume("ours"), false, ""},
			{"listed volume", volume("listed"), false, ""},
			{"foreign volume", volume("foreign"), false, "not made by this manager"},
		}
		for _, tt := range tests {
			kind, message := said(w.control.Admit(w.t.Context(), "web", tt.spec, tt.admin))
			if (kind == api.PolicyError) != (tt.refuse != "") || !strings.Contains(message, tt.refuse) {
				t.Errorf("%s: %s %q", tt.name, kind, message)
			}
		}
		absent, outside := w.control.Admit(w.t.Context(), "", volume(base+"/open/none"), false), w.control.Admit(w.t.Context(), "", volume(base+"/closed"), false)
		_, one := said(absent)
		_, other := said(outside)
		if strings.ReplaceAll(one, "/open/none", "") != strings.ReplaceAll(other, "/closed", "") {
			t.Errorf("%q and %q tell what is on the host", one, other)
		}
		w.obey(Policy{HostNetwork: true})
		if err := w.control.Admit(w.t.Context(), "", &api.Spec{Network: api.NetworkHost}, false); err != nil {
			t.Errorf("allowed host network: %v", err)
		}
		w.engine.leave()
		w.after(0)
		if err := w.control.Admit(w.t.Context(), "", volume("foreign"), false); err != nil {
			t.Errorf("what only the engine knows is judged later: %v", err)
		}
	})
}

// Two containers share a folder only where none of them can exchange it under the other.
func TestController_Admit_SharedPaths(t *testing.T) {
	base := hostFolder(t, "/in/deep", "/other")
	inWorld(t, func(w *world) {
		w.obey(Policy{HostPaths: hostpath.New([]string{base}, nil)})
		w.declare("writer", func(s *api.Spec) { s.Volumes = map[string]string{base + "/in": "/x"} })
		w.after(time.Second)
		inner := &api.Spec{Volumes: map[string]string{base + "/in/deep": "/x:ro"}}
		if kind, message := said(w.control.Admit(w.t.Context(), "web", inner, false)); kind != api.PolicyError || !strings.Contains(message, "container writer may write") {
			t.Errorf("below what another writes to: %s %q", kind, message)
		}
		outer := &api.Spec{Volumes: map[string]string{base: "/x"}}
		if kind, message := said(w.control.Admit(w.t.Context(), "web", outer, false)); kind != api.PolicyError || !strings.Contains(message, "container writer mounts") {
			t.Errorf("above what another mounts: %s %q", kind, message)
		}
		for name, volumes := range map[string]map[string]string{
			"web":    {base + "/in": "/x", base + "/other": "/y", base: "/z:ro"},
			"writer": {base + "/in": "/x", base + "/in/deep": "/y"},
		} {
			if err := w.control.Admit(w.t.Context(), name, &api.Spec{Volumes: volumes}, false); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The engine is given the path that was judged, and that is judged again before each start.
func TestController_HostPathsAreMountedAsTheyWereJudged(t *testing.T) {
	base := hostFolder(t, "/open/one", "/open/two", "/closed")
	link := base + "/open/link"
	relink(t, base+"/open/one", link)
	inWorld(t, func(w *world) {
		w.obey(Policy{HostPaths: hostpath.New([]string{base + "/open"}, nil)})
		w.declare("web", func(s *api.Spec) { s.Volumes = map[string]string{link: "/x"} })
		w.after(time.Second)
		c, _ := w.engine.named("web")
		if got := c.template.HostPaths[link]; c.State != "running" || got != base+"/open/one" {
			t.Fatalf("%s with %q", c.State, got)
		}

		relink(t, base+"/closed", link) // leads outside, but the container is not mounted by it
		w.engine.exit("web", 1)
		w.after(time.Second)
		if c, _ := w.engine.named("web"); c.State != "running" {
			t.Errorf("a link that nobody mounts keeps it from starting: %s", c.State)
		}

		relink(t, base+"/open/two", base+"/open/one") // what the engine would follow
		w.engine.exit("web", 1)
		w.after(10 * time.Second)
		c, _ = w.engine.named("web")
		st := w.status("web")
		if c.State == "running" || st.LastError == nil || st.LastError.ErrorType != api.PolicyError || st.Condition(api.Degraded).Reason != "PolicyViolation" {
			t.Errorf("started though its path has become a link: %s, %+v", c.State, st.LastError)
		}
		if err := errors.Join(os.Remove(base+"/open/one"), os.Mkdir(base+"/open/one", 0o755)); err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Minute)
		if c, _ := w.engine.named("web"); c.State != "running" {
			t.Errorf("put back, it does not start: %s", c.State)
		}
	})
}

func TestController_IsJudgedBeforeItIsMade(t *testing.T) {
	base := hostFolder(t, "/open/in/deep")
	tests := []struct {
		name   string
		spec   func(s *api.Spec)
		reason string
		mend   func(w *world)
	}{
		{"path outside", func(s *api.Spec) { s.Volumes = map[string]string{base: "/x"} }, "PolicyViolation",
			func(w *world) { w.obey(Policy{HostPaths: hostpath.New([]string{base}, nil)}) }},
		{"path in what another writes to", func(s *api.Spec) { s.Volumes = map[string]string{base + "/open/in/deep": "/x"} }, "PolicyViolation",
			func(w *world) { w.declare("writer", func(s *api.Spec) { s.Volumes = nil }) }},
		{"host network", func(s *api.Spec) { s.Network = api.NetworkHost }, "PolicyViolation", func(w *world) { w.obey(Policy{HostNetwork: true}) }},
		{"foreign volume", func(s *api.Spec) { s.Volumes = map[string]string{"foreign": "/x"} }, "PolicyViolation",
			func(w *world) { w.obey(Policy{Volumes: []string{"foreign"}}) }},
		{"network that is not there", func(s *api.Spec) { s.Network = "lan" }, "NetworkNotFound", func(w *world) { w.engine.behind(func() { w.engine.networks["lan"] = "lan" }) }},
		{"network by its id", func(s *api.Spec) { s.Network = "0a94830dc8ab" }, "PolicyViolation", func(w *world) { w.engine.behind(func() { w.engine.networks["0a94830dc8ab"] = "0a94830dc8ab" }) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.obey(Policy{HostPaths: hostpath.New([]string{base + "/open"}, nil)})
				w.engine.volumes, w.engine.networks = map[string]string{"foreign": ""}, map[string]string{"0a94830dc8ab": "host"}
				w.declare("writer", func(s *api.Spec) { s.Volumes = map[string]string{base + "/open/in": "/x"} })
				w.declare("web", tt.spec)
				w.after(time.Second)
				if _, made := w.engine.named("web"); made || w.status("web").Condition(api.Degraded).Reason != tt.reason {
					t.Errorf("made: %v, %+v", made, w.status("web").Conditions)
				}
				tt.mend(w)
				w.after(10 * time.Minute)
				if c, _ := w.engine.named("web"); c.State != "running" {
					t.Errorf("mended, it is %q: %+v", c.State, w.status("web").LastError)
				}
			})
		})
	}
}

func TestController_AdmitPorts(t *testing.T) {
	port := func(inside, address string, n int) map[string]api.HostPort {
		return map[string]api.HostPort{inside: {Address: address, Port: n}}
	}
	holder := func(ports map[string]api.HostPort) *store.Record {
		return &store.Record{Container: api.Container{Name: "holder", Spec: api.Spec{Ports: ports}}}
	}
	picked := holder(port("80", "", 0))
	picked.Current.Ports = port("80", "", 20000)
	tests := []struct {
		name   string
		wanted map[string]api.HostPort
		held   *store.Record
		kind   api.ErrorType
	}{
		{"the same", port("80", "", 8080), holder(port("1", "", 8080)), api.ConflictError},
		{"the default address by its name", port("80", "127.0.0.1", 8080), holder(port("1", "", 8080)), api.ConflictError},
		{"as an IPv4 address in IPv6", port("80", "::ffff:127.0.0.1", 8080), holder(port("1", "", 8080)), api.ConflictError},
		{"another port", port("80", "", 8081), holder(port("1", "", 8080)), ""},
		{"the default address and another", port("80", "", 8080), holder(port("1", "127.0.0.2", 8080)), ""},
		{"another address", port("80", "127.0.0.2", 8080), holder(port("1", "127.0.0.3", 8080)), ""},
		{"every address", port("80", "0.0.0.0", 8080), holder(port("1", "127.0.0.3", 8080)), api.ConflictError},
		{"held on every address", port("80", "127.0.0.3", 8080), holder(port("1", "0.0.0.0", 8080)), api.ConflictError},
		{"every address of IPv6", port("80", "::", 8080), holder(port("1", "::1", 8080)), api.ConflictError},
		{"every address of either family", port("80", "::", 8080), holder(port("1", "127.0.0.3", 8080)), api.ConflictError},
		{"another protocol", port("80/udp", "", 8080), holder(port("80/tcp", "", 8080)), ""},
		{"the same of udp", port("80/udp", "", 8080), holder(port("53/udp", "", 8080)), api.ConflictError},
		{"one that was picked", port("80", "", 20000), picked, api.ConflictError},
		{"one to be picked", port("80", "", 0), holder(port("80", "", 0)), ""},
		{"the manager's", port("80", "", 8000), holder(nil), api.PolicyError},
		{"the manager's on another address", port("80", "192.0.2.1", 8000), holder(nil), api.PolicyError},
		{"the manager's on every address", port("80", "0.0.0.0", 8000), holder(nil), api.PolicyError},
		{"the manager's of udp", port("80/udp", "", 8000), holder(nil), ""},
		{"under 1024", port("80", "", 80), holder(nil), ""},
		{"twice", map[string]api.HostPort{"80": {Port: 8080}, "81": {Address: "0.0.0.0", Port: 8080}}, holder(nil), api.ValidationError},
		{"twice, of two protocols", map[string]api.HostPort{"80": {Port: 8080}, "80/udp": {Port: 8080}}, holder(nil), ""},
	}
	k := &Controller{Config: Config{Policy: Policy{PublishAddress: "127.0.0.1", ManagerPort: 8000}}}
	for _, tt := range tests {
		err := k.AdmitPorts(&api.Spec{Ports: tt.wanted}, slices.Values([]*store.Record{tt.held}))
		kind, message := said(err)
		if kind != tt.kind || kind == api.ConflictError && !strings.Contains(message, "container holder's") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// A port that was declared before the manager listened there is given up at the next start, and no such port is picked, or kept.
func TestController_TheManagersPortIsNobodyElses(t *testing.T) {
	inWorld(t, func(w *world) {
		w.obey(Policy{ManagerPort: 20000})
		w.declare("named", func(s *api.Spec) { s.Ports = map[string]api.HostPort{"80": {Address: "192.0.2.1", Port: 20000}} })
		w.declare("picked", func(s *api.Spec) { s.Ports = map[string]api.HostPort{"80": {}} })
		w.after(10 * time.Second)
		if st := w.status("named"); st.State != api.StateCreated || st.Condition(api.Degraded).Reason != api.ReasonPolicyViolation {
			t.Errorf("named: %s, %+v", st.State, st.LastError)
		}
		if got := w.status("picked").Ports["80"].Port; got != 20001 {
			t.Errorf("picked %d", got)
		}
		w.obey(Policy{ManagerPort: 20001})
		w.engine.behind(func() { clear(w.engine.containers) })
		w.after(2 * time.Minute)
		if got := w.status("picked").Ports["80"].Port; got == 20001 {
			t.Error("it keeps the manager's port")
		}
	})
}

func TestParsePortRange(t *testing.T) {
	if r, err := ParsePortRange("20000-29999"); err != nil || r != (PortRange{20000, 29999}) {
		t.Errorf("got %v, %v", r, err)
	}
	for _, text := range []string{"", "1", "5-1", "20000-65536", "1023-2000", "-5-10", "20000-29999 ", "020000-29999", "a-b"} {
		if r, err := ParsePortRange(text); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}
