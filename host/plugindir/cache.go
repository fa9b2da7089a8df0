package plugindir

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/brock-backup/brock/sdk"
)

// EnvCache is the environment variable that names the directory for what can be
// found out again.
const EnvCache = "BROCK_CACHE_DIR"

// CacheDir returns the directory in which is kept what plugins say of
// themselves, and "" where there is no place for it: without a home, or in one
// that is somebody else's.
func CacheDir() string {
	if dir := os.Getenv(EnvCache); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return ""
		}
		return filepath.Join(abs, "plugins")
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	info, err := os.Stat(base)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(base))
	}
	if err != nil || !mine(info) {
		return ""
	}
	return filepath.Join(base, "brock", "plugins")
}

// A cache remembers what plugins say of themselves, by the digest of their
// files, and the digests of files, by all that tells that a file is still the
// same. It saves time and decides nothing but which variables of the environment the
// plugin with that digest is started with: a plugin that is used is asked again,
// and where a lock pins a digest, no remembered one takes its place. What is
// damaged in it, or not ours, is as if it were not there. A nil cache has
// nothing.
type cache struct{ root *os.Root }

const (
	cacheFormat = 1
	cacheLimit  = 256 // entries, of which there are two for a plugin
	entryLimit  = 1 << 20
)

// openCache returns nil where there can be none.
func openCache(dir string) *cache {
	if dir == "" || os.MkdirAll(dir, 0o700) != nil {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	if info, err := root.Stat("."); err != nil || !mine(info) {
		_ = root.Close()
		return nil
	}
	return &cache{root}
}

func (c *cache) close() {
	if c != nil {
		_ = c.root.Close()
	}
}

// An entry is one file of the cache.
type entry struct {
	Format      int              `json:"format"`
	SHA256      Digest           `json:"sha256"`
	Description *sdk.Description `json:"description,omitempty"`
	File        *identity        `json:"file,omitempty"`
}

// description returns what the plugin with that digest said of itself.
func (c *cache) description(d Digest) (sdk.Description, bool) {
	e, ok := c.read(d.String() + ".json")
	if !ok || e.SHA256 != d || e.Description == nil {
		return sdk.Description{}, false
	}
	return *e.Description, true
}

func (c *cache) describe(d Digest, desc sdk.Description) {
	if known, ok := c.description(d); ok && same(known, desc) {
		return
	}
	c.write(d.String()+".json", entry{SHA256: d, Description: &desc})
}

// same compares descriptions as they are kept, where an empty list is none.
func same(a, b sdk.Description) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(emptied(x), emptied(y))
}

func emptied(data []byte) []byte { return bytes.ReplaceAll(data, []byte(":[]"), []byte(":null")) }

// digest returns the digest of a file, which it reads only if it has changed
// since it was read last.
func (c *cache) digest(path string) (Digest, error) {
	id, err := look(path)
	if err != nil {
		return Digest{}, err
	}
	file := fileEntry(path)
	if e, ok := c.read(file); ok && e.File != nil && *e.File == id {
		return e.SHA256, nil
	}
	d, err := digestOf(path)
	if err != nil {
		return Digest{}, err
	}
	if now, err := look(path); err == nil && now == id && id.settled() {
		c.write(file, entry{SHA256: d, File: &id})
	}
	return d, nil
}

func fileEntry(path string) string {
	name := sha256.Sum256([]byte(path))
	return "file-" + hex.EncodeToString(name[:]) + ".json"
}

func (c *cache) read(name string) (e entry, ok bool) {
	if c == nil {
		return e, false
	}
	f, err := c.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return e, false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || !mine(info) {
		return e, false
	}
	data, err := io.ReadAll(io.LimitReader(f, entryLimit))
	if err != nil {
		return e, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err = d.Decode(&e)
	return e, err == nil && e.Format == cacheFormat
}

// write keeps an entry if it can.
func (c *cache) write(name string, e entry) {
	if c == nil {
		return
	}
	c.prune()
	e.Format = cacheFormat
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil || len(data) >= entryLimit {
		return
	}
	temp := "new-" + rand.Text()
	f, err := c.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if errors.Join(err, f.Close()) != nil || c.root.Rename(temp, name) != nil {
		_ = c.root.Remove(temp)
	}
}

// prune makes room, once there are too many entries, by forgetting the older
// half.
func (c *cache) prune() {
	entries, err := fs.ReadDir(c.root.FS(), ".")
	if err != nil || len(entries) < cacheLimit {
		return
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			infos = append(infos, info)
		}
	}
	slices.SortFunc(infos, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range infos[:len(infos)/2] {
		_ = c.root.Remove(info.Name())
	}
}
