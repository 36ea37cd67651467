package test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// README's way to resume misses nothing: from the first acknowledgement on it knows where to go on, before any event came, and it
// goes on from the newest event, also where the acknowledgement is handled after that.
func TestReadme_ResumesFromTheAcknowledgement(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	snippet := regexp.MustCompile("(?s)```js\n(let last;.*?)```").FindSubmatch(readme)
	if snippet == nil {
		t.Fatal("README has no such snippet any more")
	}
	const before = `
const handlers = {}, asked = [];
const socket = {
	on: (event, f) => { handlers[event] = f; },
	emit: (event, body, ack) => asked.push({ body, ack }),
};
console.log = () => {};
`
	const after = `
const from = (want) => {
	handlers.connect();
	const { body, ack } = asked.pop();
	if (body.resource_version !== want) throw new Error("subscribed from " + body.resource_version + ", not " + want);
	return ack;
};
const changed = (resource_version) => handlers.container_changed({ type: "modified", resource_version, container: { name: "a", status: { state: "running" } } });
from(undefined)({ ok: true, resource_version: "v5" });
from("v5")({ ok: true, resource_version: "v5" });
changed("v6");
const late = from("v6");
changed("v7");
late({ ok: true, resource_version: "v6" });
from("v7");
`
	if out, err := exec.Command("node", "--input-type=module", "-e", before+string(snippet[1])+after).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
