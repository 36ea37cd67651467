package test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/flow-manager/flow-manager/api"
)

// readmeBlock is what README shows in a block of the language.
func readmeBlock(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	block, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("README has no block of %s", language)
	}
	return block
}

// startNginx runs README's nginx in front of a manager, and gives its address.
func startNginx(t *testing.T, m *manager, p pair) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that nobody has
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	site := strings.NewReplacer("listen 443 ssl", "listen "+addr+" ssl", "127.0.0.1:8000", m.addr, "/etc/ssl/flows.pem", p.cert, "/etc/ssl/flows.key", p.key).
		Replace(readmeBlock(t, "nginx"))
	dir := t.TempDir()
	conf := fmt.Sprintf("daemon off; master_process off; error_log %[1]s/error.log; pid %[1]s/pid;\nevents {}\nhttp { access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n", dir, site)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	nginx := exec.Command("nginx", "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", file)
	nginx.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin")
	if path, err := exec.LookPath("/usr/sbin/nginx"); err == nil {
		nginx.Path, nginx.Err = path, nil
	}
	if err := nginx.Start(); err != nil {
		t.Fatalf("%v; hack/test.sh installs it", err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(syscall.SIGTERM)
		_ = nginx.Wait()
		if said, err := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() && err == nil {
			t.Logf("nginx: %s", said)
		}
	})
	eventually(t, "nginx listens", func() error {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err
	})
	return addr
}

// Behind the nginx that README shows everything works: by polling, the upgrade, over a silence of more than a ping, with tokens, below a
// path, by TLS. Limits and log go by the client.
func TestProxy_Nginx(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	file := newTokens(t)
	token, _ := file.create("ann", api.Operator)
	other, _ := file.create("bob", api.Operator)
	m := &manager{t: t, dir: t.TempDir(), args: []string{"--auth-file", file.path, "--allowed-host", "127.0.0.1", "--base-path", "/flows",
		"--trusted-proxy", "127.0.0.1", "--max-sessions", "4"}, base: "/flows"}
	m.keep()
	addr := startNginx(t, m, p)

	node := exec.Command("node", "js/proxied.mjs", "https://"+addr, "/flows/socket.io/", token, "30")
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+p.cert)
	out, err := node.Output()
	var told struct {
		Lists     []bool
		Transport string
	}
	if err == nil {
		err = json.Unmarshal(out, &told)
	}
	if err != nil || told.Transport != "websocket" || !slices.Equal(told.Lists, []bool{true, true, true}) {
		t.Errorf("the official client: %s, %v: %s", out, err, stderr(err))
	}
	if code, said := flowctl(t, "get", "--server", "https://"+addr+"/flows/", "--tls-ca", p.cert, "--token", token); code != 0 {
		t.Errorf("flowctl: %d %s", code, said)
	}

	web := &http.Client{Transport: &http.Transport{TLSClientConfig: p.trust(t), DisableKeepAlives: true}}
	for path, want := range map[string]int{"/flows/healthz": http.StatusOK, "/flows/asyncapi.yaml": http.StatusOK, "/healthz": http.StatusNotFound} {
		answer, err := web.Get("https://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}

	// Four may be there, and two of one address: those of the proxy's clients, each for itself.
	dialer := func(last byte) *websocket.Dialer {
		return &websocket.Dialer{TLSClientConfig: &tls.Config{RootCAs: p.trust(t).RootCAs},
			NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)}}).DialContext}
	}
	for _, from := range []struct {
		last  byte
		token string
	}{{2, token}, {2, token}, {3, other}} {
		c, err := login(dialer(from.last), "wss://"+addr+"/flows", from.token)
		if err != nil {
			t.Fatalf("from %d: %v", from.last, err)
		}
		defer c.close()
	}
	if _, answer, err := dialer(2).Dial("wss://"+addr+"/flows/socket.io/?EIO=4&transport=websocket", nil); err == nil || answer == nil || answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a third one from one address: %v", err)
	}
	remotes := map[any]int{}
	for _, line := range m.log.lines(t) {
		if line["message"] == "session begun" {
			remotes[line["remote"]]++
		}
		if line["message"] == "refused" && (line["remote"] != "127.0.0.2:0" || line["flag"] != "--max-sessions") {
			t.Errorf("refused: %v", line)
		}
	}
	if remotes["127.0.0.2:0"] != 2 || remotes["127.0.0.3:0"] != 1 {
		t.Errorf("sessions are from %v", remotes)
	}
}
