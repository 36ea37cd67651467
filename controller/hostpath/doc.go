// Package hostpath judges which files and folders of the host may be mounted into a container.
//
// It guarantees that a path it gives out has no symlinks in it, lies below a root that nobody but root can exchange for
// another folder, shows nothing of the never-list under whatever name (symlinks, bind mounts and hard links of a declared
// file included), and has nothing above it that another container may write to. What container engines keep is on that list,
// wherever they were told to keep it. It looks at the disk and the mount table each time, at the sockets of engines every ten
// seconds, keeps nothing else, and creates nothing.
//
// What it cannot rule out: between its look and the engine's mount somebody else with write access to a folder between the
// root and the path may put a symlink there. Containers cannot (they would have to have such a folder mounted writable,
// which is refused); users of the host who own folders below a root can. The mount table is that of the own process: an
// engine in another mount namespace may see other things at the same paths, and the sockets of one in another network namespace
// are not found by where they are.
package hostpath
