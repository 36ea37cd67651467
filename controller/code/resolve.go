package code

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// resolver finds out where the links of a tree lead, as the kernel would: a link on the way is followed before a .. behind
// it. What is not there counts as an empty folder, so nothing depends on what might be added.
type resolver struct {
	targets map[string]string // by the link's path
	leads   map[string]string // where a link leads in the tree; underway while that is being found out
}

// underway is no path of a tree.
const underway = "/"

// judgeLinks refuses links that are absolute, leave the tree at any step, or lead in a circle.
func judgeLinks(ctx context.Context, entries []entry) error {
	r := resolver{targets: map[string]string{}, leads: map[string]string{}}
	for _, e := range entries {
		if e.kind == kindLink {
			r.targets[e.path] = e.target
		}
	}
	for _, e := range entries {
		if e.kind != kindLink {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("judge the code's links: %w", err)
		}
		if _, err := r.resolve(e.path); err != nil {
			return err
		}
	}
	return nil
}

// resolve finds out where link leads. Each link is followed once, so the work grows with the targets' lengths alone.
func (r *resolver) resolve(link string) (string, error) {
	if leads, known := r.leads[link]; leads == underway {
		return "", refused(link, "the link %q leads in a circle: remove it", link)
	} else if known {
		return leads, nil
	}
	target := r.targets[link]
	if path.IsAbs(target) {
		return "", refused(link, "the link %q leads to the absolute path %q: make it relative, or put what it leads to in its place", link, target)
	}
	r.leads[link] = underway
	at, err := r.follow(link, target)
	if err != nil {
		return "", err
	}
	r.leads[link] = at
	return at, nil
}

// follow goes from the folder of link along target.
func (r *resolver) follow(link, target string) (at string, err error) {
	at = parent(link)
	for name := range strings.SplitSeq(target, "/") {
		switch {
		case name == "", name == ".":
		case name == ".." && at == "":
			return "", refused(link, "the link %q leads to %q, out of the code: put what it leads to in its place", link, target)
		case name == "..":
			at = parent(at)
		default:
			at, err = r.enter(path.Join(at, name))
		}
		if err != nil {
			return "", err
		}
	}
	return at, nil
}

// enter goes to at, which may be a link.
func (r *resolver) enter(at string) (string, error) {
	if _, isLink := r.targets[at]; isLink {
		return r.resolve(at)
	}
	return at, nil
}

// parent is the folder that an entry is in.
func parent(at string) string {
	return at[:max(0, strings.LastIndexByte(at, '/'))]
}
