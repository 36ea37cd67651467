package hostpath

import (
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// ObeysSuid are the roots below which a container could leave a program that makes any account of the host root that runs it: what
// is mounted there heeds set-user-id bits, and is no file system of the kernel.
func (g *Guard) ObeysSuid() ([]string, error) {
	mounts, err := readTable()
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, root := range g.roots {
		w, err := follow(root)
		if err != nil {
			return nil, err
		}
		under, below := mounts.mounts(w.end)
		if slices.ContainsFunc(append(below, under), obeysSuid) {
			roots = append(roots, root)
		}
	}
	return roots, nil
}

func obeysSuid(m *mountinfo.Info) bool {
	return !slices.Contains(kernelKinds(), m.FSType) && !slices.Contains(strings.Split(m.Options, ","), "nosuid")
}
