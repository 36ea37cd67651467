package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/flow-manager/flow-manager/controller"
	"github.com/flow-manager/flow-manager/controller/hostpath"
)

// envPrefix begins the variables that stand for flags: FLOW_MANAGER_DATA_DIR is --data-dir.
const envPrefix = "FLOW_MANAGER_"

// settings are what serve was told.
type settings struct {
	Listen         string        `koanf:"listen"`
	AllowedHosts   []string      `koanf:"allowed-host"`
	AllowedOrigins []string      `koanf:"allowed-origin"`
	TrustedProxies []string      `koanf:"trusted-proxy"`
	BasePath       string        `koanf:"base-path"`
	AuthFile       string        `koanf:"auth-file"`
	TLSCert        string        `koanf:"tls-cert"`
	TLSKey         string        `koanf:"tls-key"`
	InsecureNoAuth bool          `koanf:"insecure-no-auth"`
	AllowHostPaths []string      `koanf:"allow-host-path"`
	AllowVolumes   []string      `koanf:"allow-volume"`
	AllowNetworks  []string      `koanf:"allow-network"`
	AllowHostNet   bool          `koanf:"allow-host-network"`
	PublishAddress string        `koanf:"publish-address"`
	PortRange      string        `koanf:"port-range"`
	DataDir        string        `koanf:"data-dir"`
	RunDir         string        `koanf:"run-dir"`
	DockerHost     string        `koanf:"docker-host"`
	AcceptEngine   bool          `koanf:"accept-engine"`
	AcceptRestore  bool          `koanf:"accept-restore"`
	Workers        int           `koanf:"workers"`
	Pulls          int           `koanf:"pulls"`
	EventRetention time.Duration `koanf:"event-retention"`
	MaxContainers  int           `koanf:"max-containers"`
	MaxCodeBytes   int64         `koanf:"max-code-bytes"`
	MaxSessions    int           `koanf:"max-sessions"`
	MaxRequests    int           `koanf:"max-requests-per-second"`
	ResyncInterval time.Duration `koanf:"resync-interval"`
	StatusInterval time.Duration `koanf:"status-interval"`
	AuditLog       string        `koanf:"audit-log"`
	LogLevel       string        `koanf:"log-level"`
	LogFormat      string        `koanf:"log-format"`

	proxies []netip.Prefix
	ports   controller.PortRange
	level   zerolog.Level
	paths   *hostpath.Guard
}

func addFlags(f *pflag.FlagSet) {
	f.String("config", "", "YAML file with these settings by their names; flags and "+envPrefix+"* variables win over it")
	f.String("listen", "127.0.0.1:8000", "address for Socket.IO, /healthz, /readyz and /metrics, or unix:///path")
	f.StringSlice("allowed-host", nil, "host names that requests may be for (default localhost, 127.0.0.1, [::1] and the listen address)")
	f.StringSlice("allowed-origin", nil, "origins that web pages may come from (default an allowed host with the same port)")
	f.StringSlice("trusted-proxy", nil, "addresses or networks (10.0.0.0/8) of proxies whose X-Forwarded-For is believed; they may have any number of connections")
	f.String("base-path", "", "what stands before every path, like /flows, where a proxy passes it on")
	f.String("auth-file", "", "file of the tokens to log in with, as flow-manager token makes it; read again on SIGHUP (default everybody is an operator)")
	f.String("tls-cert", "", "PEM file of the certificate to serve TLS with, its chain included; read again on SIGHUP")
	f.String("tls-key", "", "PEM file of the certificate's key")
	f.Bool("insecure-no-auth", false, "listen on another address than loopback though anybody who reaches it may declare containers")
	f.StringSlice("allow-host-path", nil, "folders below which host paths may be mounted; they and all above them must be writable by root only (default none)")
	f.StringSlice("allow-volume", nil, "named volumes that may be mounted though the manager did not make them")
	f.StringSlice("allow-network", nil, "networks of the engine that containers may be declared for, by their names")
	f.Bool("allow-host-network", false, "let containers share the host's network (network: host)")
	f.String("publish-address", "127.0.0.1", "where ports without an address are published")
	f.String("port-range", "20000-29999", "where host port 0 is picked from")
	f.String("data-dir", defaultDataDir(), "folder of the store")
	f.String("run-dir", defaultRunDir(), "folder of the flows' sockets")
	f.String("docker-host", "", "Unix socket of the engine as unix:///path (default DOCKER_HOST or the usual one)")
	f.Bool("accept-engine", false, "take an engine that is not the one remembered and has none of our containers")
	f.Bool("accept-restore", false, "act by a store that was restored from a backup; to be given once")
	f.Int("workers", 16, "containers reconciled at once")
	f.Int("pulls", 3, "images pulled at once")
	f.Duration("event-retention", 24*time.Hour, "how long events can be replayed, at most 100,000 of them")
	f.Int("max-containers", 1000, "containers that may be declared")
	f.Int64("max-code-bytes", 10<<30, "bytes that the copies of all containers' code may take in the data directory")
	f.Int("max-sessions", 4096, "clients that may be connected; one address and one principal may have half of them")
	f.Int("max-requests-per-second", 1000, "requests a second, and at once, of one client; messages to flows do not count")
	f.Duration("resync-interval", time.Minute, "how often the engine is listed though nothing happened")
	f.Duration("status-interval", 30*time.Second, "how often clients are told what containers consume (0: never)")
	f.String("audit-log", "", "file to append a JSON line to for each declaration, accepted or refused; put aside at 100 MiB, opened again on SIGHUP (default none)")
	f.String("log-level", "info", "trace, debug, info, warn or error")
	f.String("log-format", "", "json or console (default console on a terminal)")
}

func defaultDataDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/flow-manager"
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "flow-manager")
	}
	return filepath.Join(os.Getenv("HOME"), ".local", "state", "flow-manager")
}

func defaultRunDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && os.Geteuid() != 0 {
		return filepath.Join(dir, "flow-manager")
	}
	return "/run/flow-manager"
}

// readSettings reads what serve was told, and refuses what it does not know.
func readSettings(cmd *cobra.Command) (*settings, error) {
	k, err := layers(cmd)
	if err != nil {
		return nil, err
	}
	if err := unknownKeys(k, cmd.Flags()); err != nil {
		return nil, usageError{err}
	}
	s := &settings{}
	if err := k.Unmarshal("", s); err != nil {
		return nil, usageError{fmt.Errorf("read the settings: %w", err)}
	}
	return s, s.check()
}

// layers merges file, environment and flags; what is more explicit wins.
func layers(cmd *cobra.Command) (*koanf.Koanf, error) {
	k := koanf.New(".")
	path, _ := cmd.Flags().GetString("config") // the flag is there
	if path = cmp.Or(path, os.Getenv(envPrefix+"CONFIG")); path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, usageError{fmt.Errorf("read --config: %w", err)}
		}
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: variable}), nil); err != nil {
		return nil, usageError{fmt.Errorf("read the environment: %w", err)}
	}
	if err := k.Load(posflag.Provider(cmd.Flags(), ".", k), nil); err != nil {
		return nil, usageError{fmt.Errorf("read flags: %w", err)}
	}
	return k, nil
}

// variable turns a variable into a flag's name and value; lists are separated by commas.
func variable(key, value string) (string, any) {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, envPrefix)), "_", "-"), value
}

// unknownKeys refuses a misspelt setting instead of ignoring it.
func unknownKeys(k *koanf.Koanf, flags *pflag.FlagSet) error {
	for _, key := range k.Keys() {
		if flags.Lookup(key) == nil {
			return fmt.Errorf("there is no setting %q; see flow-manager serve --help", key)
		}
	}
	return nil
}

func (s *settings) check() error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	s.ports, err = controller.ParsePortRange(s.PortRange)
	add(err)
	if s.level, err = zerolog.ParseLevel(s.LogLevel); err != nil {
		add(fmt.Errorf("--log-level %q is not a level; these are: trace, debug, info, warn, error", s.LogLevel))
	}
	add(s.checkNumbers())
	add(s.checkPaths())
	add(s.checkListen())
	add(s.checkProxies())
	if host := s.dockerHost(); host != "" && !strings.HasPrefix(host, "unix://") {
		add(fmt.Errorf("--docker-host %s is not a local Unix socket; sockets and folders of this host cannot be mounted by a remote engine", host))
	}
	if _, err := netip.ParseAddr(s.PublishAddress); err != nil {
		add(fmt.Errorf("--publish-address %q is not an IP address", s.PublishAddress))
	}
	if s.LogFormat != "" && s.LogFormat != "json" && s.LogFormat != "console" {
		add(fmt.Errorf("--log-format %q is neither json nor console", s.LogFormat))
	}
	if len(errs) > 0 {
		return usageError{errors.Join(errs...)}
	}
	return nil
}

func (s *settings) checkNumbers() error {
	switch {
	case s.Workers < 1 || s.Workers > 1000:
		return fmt.Errorf("--workers %d is out of range; use 1 to 1000", s.Workers)
	case s.Pulls < 1 || s.Pulls > 100:
		return fmt.Errorf("--pulls %d is out of range; use 1 to 100", s.Pulls)
	case s.MaxContainers < 1:
		return fmt.Errorf("--max-containers %d is out of range; use 1 or more", s.MaxContainers)
	case s.MaxCodeBytes < 1:
		return fmt.Errorf("--max-code-bytes %d is out of range; use 1 or more", s.MaxCodeBytes)
	case s.MaxSessions < 1:
		return fmt.Errorf("--max-sessions %d is out of range; use 1 or more", s.MaxSessions)
	case s.MaxRequests < 1:
		return fmt.Errorf("--max-requests-per-second %d is out of range; use 1 or more", s.MaxRequests)
	case s.ResyncInterval < time.Second:
		return fmt.Errorf("--resync-interval %s is too short; use 1s or more", s.ResyncInterval)
	case s.StatusInterval != 0 && s.StatusInterval < time.Second:
		return fmt.Errorf("--status-interval %s is too short; use 1s or more, or 0 for never", s.StatusInterval)
	case s.EventRetention < time.Second:
		return fmt.Errorf("--event-retention %s is too short; use 1s or more", s.EventRetention)
	}
	return nil
}

// checkPaths makes folders absolute, for the engine has another working directory.
func (s *settings) checkPaths() error {
	var err error
	if s.DataDir, err = filepath.Abs(s.DataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if s.RunDir, err = filepath.Abs(s.RunDir); err != nil {
		return fmt.Errorf("--run-dir: %w", err)
	}
	if err := errors.Join(checkOwner("--data-dir", s.DataDir), checkOwner("--run-dir", s.RunDir)); err != nil {
		return err
	}
	own, err := s.own()
	if err != nil {
		return err
	}
	s.paths = hostpath.New(s.AllowHostPaths, own)
	return s.paths.Check()
}

// own are the files and folders that no container may see: the manager's, its secrets, and the sockets of both itself and
// the engine.
func (s *settings) own() ([]string, error) {
	own := []string{s.DataDir, s.RunDir}
	for _, file := range []string{s.AuthFile, s.TLSKey, s.AuditLog, socketOf(s.Listen), socketOf(s.dockerHost())} {
		if file == "" {
			continue
		}
		path, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		own = append(own, path)
	}
	return own, nil
}

// socketOf is the path of a Unix socket that is written as unix:///path, "" for another address.
func socketOf(address string) string {
	path, ok := strings.CutPrefix(address, unixScheme)
	if !ok {
		return ""
	}
	return path
}

func (s *settings) policy() controller.Policy {
	return controller.Policy{HostPaths: s.paths, Volumes: s.AllowVolumes, Networks: s.AllowNetworks, HostNetwork: s.AllowHostNet, PublishAddress: s.PublishAddress}
}

func (s *settings) checkListen() error {
	path, local := strings.CutPrefix(s.Listen, unixScheme)
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key go together: give both, or neither")
	case local && !filepath.IsAbs(path):
		return fmt.Errorf("--listen %s does not name an absolute path; write unix:///path", s.Listen)
	case local && s.TLSCert != "":
		return fmt.Errorf("--listen %s needs no --tls-cert: nothing leaves the host", s.Listen)
	}
	return nil
}

func (s *settings) dockerHost() string {
	if s.DockerHost != "" {
		return s.DockerHost
	}
	return os.Getenv("DOCKER_HOST")
}
