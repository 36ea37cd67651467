package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/flow-manager/flow-manager"

// layer is a folder and what the packages in it may import. A package belongs to the deepest folder that holds it.
type layer struct {
	folder  string
	imports []string // our other folders
	tests   []string // those that its test files may import besides
	outside []string // the modules of others; nil: any that has no owner
	why     string
}

func layers() []layer {
	all := []string{"api", "api/auth", "api/session", "api/server", "api/socketio", "store", "controller/plan", "controller", "controller/docker", "controller/code", "sockets", "sockets/flow"}
	return []layer{
		{folder: "api", outside: []string{"github.com/distribution/reference"},
			why: "the contract stands on the standard library and the image reference parser, so that anybody can import it"},
		{folder: "api/session", imports: []string{"api"}, outside: []string{},
			why: "what the transport and the server have in common is words, and no work of either"},
		{folder: "api/server", imports: []string{"api", "api/session", "store", "controller/plan"}, tests: []string{"api/server/servertest", "test/asyncapi"},
			why: "a handler declares and never acts: it knows the store, the one judge of outcomes and no transport, and declares the interfaces of all else it needs"},
		{folder: "api/server/servertest", imports: []string{"api", "api/session", "store"}, tests: []string{"api/server"},
			why: "it is what the tests of the server stand on, so it cannot stand on the server"},
		{folder: "api/socketio", imports: []string{"api", "api/session"}, tests: []string{"api/server", "api/server/servertest", "store", "test/asyncapi"},
			why: "the transport carries requests and events: what they mean, and what is stored, is for its App to know"},
		{folder: "api/auth", imports: []string{"api"},
			why: "who a token stands for is judged without knowing what they ask for or how they came in"},
		{folder: "store", imports: []string{"api"},
			why: "what is stored knows nothing of who reads it, so that another store can stand in its place"},
		{folder: "controller/plan", imports: []string{"api", "store"}, outside: []string{},
			why: "what is to be done, and what became of a wish, is decided without any I/O, so that all may ask"},
		{folder: "controller", imports: []string{"api", "store", "controller/plan"},
			why: "the plan is carried out without knowing Docker or sockets: they come in through Runtime and Endpoints"},
		{folder: "controller/docker", imports: []string{"api", "controller", "controller/plan"},
			why: "the runtime carries out single steps: it decides nothing and stores nothing"},
		{folder: "controller/code", imports: []string{"api"}, outside: []string{"golang.org/x/sys", "golang.org/x/sync"},
			why: "snapshots are files: who declared or runs them is not their business"},
		{folder: "sockets", imports: []string{"api"}, tests: []string{"sockets/flow"},
			why: "messaging is told of changes through the Watcher it declares"},
		{folder: "sockets/flow", tests: []string{"api", "sockets"},
			why: "it is linked into flows, which need nothing of the manager"},
		{folder: "cmd/flow-manager", imports: all,
			why: "the wiring uses packages of the house, not its tests, scripts or other commands"},
		{folder: "cmd/flowctl", imports: []string{"api"},
			why: "it is a client like any other: what it cannot do over Socket.IO, nobody can"},
		{folder: "hack", imports: []string{"api", "sockets/flow"},
			why: "programs for people stand outside: they are clients or flows"},
		{folder: "test", imports: []string{"api", "sockets/flow"}, tests: append(all, "test/asyncapi"),
			why: "black box: it talks to the built programs"},
		{folder: "test/bench", imports: []string{"api", "api/server", "api/socketio", "sockets", "store"},
			why: "it measures the built manager, and beside that the parts that it can drive without one"},
		{folder: "test/asyncapi", imports: []string{"api"},
			why: "it judges by the document alone, whoever sent what it judges"},
	}
}

// owner says which folders alone may import an outside dependency.
type owner struct {
	dependency string
	folders    []string
	why        string
}

func owners() []owner {
	return []owner{
		{"github.com/zishang520", []string{"api/socketio", "test/bench"},
			"the library is safe only behind the guards of api/socketio"},
		{"go.etcd.io/bbolt", []string{"store", "test/bench"},
			"transactions and their rules end at the store's surface"},
		{"github.com/docker/docker", []string{"controller/docker", "test", "test/bench"},
			"the engine's types and errors are translated in one place"},
	}
}

// listed is what `go list` tells about a package of ours.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestLayering(t *testing.T) {
	for _, tags := range []string{"", "failpoint"} {
		t.Run("tags="+tags, func(t *testing.T) {
			for _, p := range list(t, tags) {
				for _, found := range forbidden(p) {
					t.Error(found)
				}
			}
		})
	}
}

// The Go client for Socket.IO swallows the process's first signal and reorders events: no program or test may link it.
func TestLayering_NoClientLibrary(t *testing.T) {
	for dependency := range strings.Lines(golist(t, "-deps", "-test", "../...")) {
		if strings.Contains(dependency, "io-client-go") {
			t.Errorf("%s is linked: use the WebSocket client of cmd/flowctl", strings.TrimSpace(dependency))
		}
	}
}

func TestLayering_Forbidden(t *testing.T) {
	ours := func(folder string) []string { return []string{module + "/" + folder} }
	tests := map[string]struct {
		p    listed
		want bool
	}{
		"standard library":           {listed{ImportPath: "api", Imports: []string{"net/http"}}, false},
		"api: reference parser":      {listed{ImportPath: "api", Imports: []string{"github.com/distribution/reference"}}, false},
		"api: outsider":              {listed{ImportPath: "api", Imports: []string{"github.com/rs/xid"}}, true},
		"api: outsider in a test":    {listed{ImportPath: "api", TestImports: []string{"pgregory.net/rapid"}}, false},
		"api: ours":                  {listed{ImportPath: "api", Imports: ours("store")}, true},
		"subfolder: like its parent": {listed{ImportPath: "store/keys", Imports: ours("controller")}, true},
		"within a folder":            {listed{ImportPath: "cmd/flowctl", Imports: ours("cmd/flowctl/wire")}, false},
		"allowed edge":               {listed{ImportPath: "controller/docker", Imports: ours("controller")}, false},
		"edge turned round":          {listed{ImportPath: "controller", Imports: ours("controller/docker")}, true},
		"edge in a test":             {listed{ImportPath: "sockets", XTestImports: ours("store")}, true},
		"edge for tests only":        {listed{ImportPath: "sockets", XTestImports: ours("sockets/flow")}, false},
		"test's edge elsewhere":      {listed{ImportPath: "sockets", Imports: ours("sockets/flow")}, true},
		"command":                    {listed{ImportPath: "test", TestImports: ours("cmd/flowctl")}, true},
		"tests":                      {listed{ImportPath: "cmd/flow-manager", Imports: ours("test/engine")}, true},
		"code: system calls":         {listed{ImportPath: "controller/code", Imports: []string{"golang.org/x/sys/unix"}}, false},
		"code: the store":            {listed{ImportPath: "controller/code", Imports: ours("store")}, true},
		"code: its planner":          {listed{ImportPath: "controller/code", Imports: ours("controller")}, true},
		"transport: the store":       {listed{ImportPath: "api/socketio", Imports: ours("store")}, true},
		"transport: the server":      {listed{ImportPath: "api/socketio", Imports: ours("api/server")}, true},
		"transport: tests of both":   {listed{ImportPath: "api/socketio", TestImports: ours("api/server")}, false},
		"server: the transport":      {listed{ImportPath: "api/server", XTestImports: ours("api/socketio")}, true},
		"server: its library":        {listed{ImportPath: "api/server", Imports: []string{"github.com/zishang520/socket.io/v2/socket"}}, true},
		"session: outsider":          {listed{ImportPath: "api/session", Imports: []string{"github.com/rs/zerolog"}}, true},
		"code: outsider":             {listed{ImportPath: "controller/code", Imports: []string{"github.com/rs/zerolog"}}, true},
		"owned":                      {listed{ImportPath: "store", Imports: []string{"go.etcd.io/bbolt/errors"}}, false},
		"owned by another":           {listed{ImportPath: "controller", Imports: []string{"go.etcd.io/bbolt"}}, true},
		"owned by another, in test":  {listed{ImportPath: "cmd/flowctl", TestImports: []string{"github.com/docker/docker/client"}}, true},
		"owned, for test as well":    {listed{ImportPath: "test", TestImports: []string{"github.com/docker/docker/client"}}, false},
		"bench: a bare yardstick":    {listed{ImportPath: "test/bench", Imports: []string{"go.etcd.io/bbolt", "github.com/zishang520/socket.io/v2/socket"}}, false},
		"bench: the loop":            {listed{ImportPath: "test/bench", Imports: ours("controller")}, true},
		"new folder":                 {listed{ImportPath: "utils"}, true},
		"new command":                {listed{ImportPath: "cmd/other"}, true},
		"name that begins alike":     {listed{ImportPath: "storehouse"}, true},
		"package in the root":        {listed{ImportPath: ""}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.p.ImportPath = strings.TrimSuffix(module+"/"+tt.p.ImportPath, "/")
			found := forbidden(tt.p)
			if diff := cmp.Diff(tt.want, len(found) > 0); diff != "" {
				t.Errorf("found %q (-want +got):\n%s", found, diff)
			}
		})
	}
}

// forbidden describes every import of p that the design does not have, and p itself where the design has no place for it.
func forbidden(p listed) []string {
	l, ok := layerOf(p.ImportPath)
	if !ok {
		return []string{fmt.Sprintf("%s is in no folder of the design: give it a place there and in layers()", p.ImportPath)}
	}
	var found []string
	for _, path := range p.Imports {
		found = append(found, l.objections(path, false)...)
	}
	for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
		found = append(found, l.objections(path, true)...)
	}
	return found
}

// objections says why no package of l may import path.
func (l layer) objections(path string, inTest bool) []string {
	var why []string
	switch {
	case within(path, module):
		if !l.mayImport(path, inTest) {
			why = append(why, l.why)
		}
	case !isStandard(path):
		if !inTest && l.outside != nil && !slices.ContainsFunc(l.outside, func(m string) bool { return within(path, m) }) {
			why = append(why, l.why)
		}
		why = append(why, l.trespasses(path)...)
	}
	for i := range why {
		why[i] = fmt.Sprintf("%s imports %s: %s", l.folder, path, why[i])
	}
	return why
}

func (l layer) mayImport(path string, inTest bool) bool {
	target, ok := layerOf(path)
	return ok && (target.folder == l.folder || slices.Contains(l.imports, target.folder) ||
		inTest && slices.Contains(l.tests, target.folder))
}

func (l layer) trespasses(path string) []string {
	var why []string
	for _, o := range owners() {
		if within(path, o.dependency) && !slices.Contains(o.folders, l.folder) {
			why = append(why, o.why)
		}
	}
	return why
}

// layerOf finds the deepest layer that holds the package at path.
func layerOf(path string) (layer, bool) {
	var deepest layer
	for _, l := range layers() {
		if within(path, module+"/"+l.folder) && len(l.folder) > len(deepest.folder) {
			deepest = l
		}
	}
	return deepest, deepest.folder != ""
}

func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// isStandard holds because a module's first element is a host name.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func list(t *testing.T, tags string) []listed {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(golist(t, "-json=ImportPath,Imports,TestImports,XTestImports", "-tags="+tags, "../...")))
	var all []listed
	for {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		all = append(all, p)
	}
}

func golist(t *testing.T, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	return string(out)
}
