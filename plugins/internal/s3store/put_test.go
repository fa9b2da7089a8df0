package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/brock-backup/brock/plugins/internal/servers"
	"github.com/brock-backup/brock/sdk"
)

const smallPart = 5 << 20 // of the Stores of these tests

// several runs a test against servers of two makers, and with TLS.
func several(t *testing.T, f func(t *testing.T, m servers.S3, s *Store)) {
	for name, server := range map[string]func(testing.TB) servers.S3{
		"minio": servers.MinIO, "minio-tls": servers.MinIOTLS, "versitygw": servers.Versity,
	} {
		t.Run(name, func(t *testing.T) {
			m := server(t)
			f(t, m, store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{})))
		})
	}
}

// An object of any size comes back as it was put, from any offset, and the store
// has verified what it got.
func TestPutAndGet(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		for _, size := range []int{
			0, 1, chunkSize - 1, chunkSize, chunkSize + 1,
			smallPart - 1, smallPart, smallPart + 1, 4*smallPart + 7, 30<<20 + 1,
		} {
			data, name := pattern(size), fmt.Sprintf("dir/%d", size)
			put(t, s, name, data)
			wantObject(t, s, name, data)
			for _, offset := range []int{1, size / 2, size - 1, size} {
				if offset < 0 || offset > size {
					continue
				}
				if got := get(t, s, name, int64(offset)); !bytes.Equal(got, data[offset:]) {
					t.Errorf("Get from %d of %d has %d bytes, want %d", offset, size, len(got), size-offset)
				}
			}
			if _, err := s.Get(t.Context(), name, int64(size)+1); !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("Get behind the end: %v, want ErrInvalid", err)
			}
			wantNoUploads(t, s, name)
		}
		wantAbsent(t, s, "dir")
		for _, v := range []*verdict{&s.cond.single, &s.cond.multipart} {
			if v.v.Load() != honoured {
				t.Errorf("conditions: single %v, multipart %v, want that both are honoured", &s.cond.single, &s.cond.multipart)
			}
		}
		if got, want := s.reportSum(), "CRC32C, found out by trying"; got != want {
			t.Errorf("checksum: %q, want %q", got, want)
		}
	})
}

// Every checksum that can be set is taken, at once and in parts, and with it
// what is stored is what was sent.
func TestChecksums(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		for _, sum := range []string{"auto", "crc32c", "sha256", "off"} {
			s := store(t, s.c.core, s.c.bucket, func(c *client) { c.checksum = sum })
			for _, size := range []int{0, 10, 2*smallPart + 1} {
				name := fmt.Sprintf("%s/%d", sum, size)
				put(t, s, name, pattern(size))
				wantObject(t, s, name, pattern(size))
				info, err := s.c.core.StatObject(t.Context(), s.c.bucket, s.key(name), minio.StatObjectOptions{Checksum: true})
				if err != nil {
					t.Fatal(err)
				}
				kept := map[string]string{"auto": info.ChecksumCRC32C, "crc32c": info.ChecksumCRC32C, "sha256": info.ChecksumSHA256, "off": "-"}[sum]
				if kept == "" {
					t.Errorf("with %s the store keeps no checksum of %d bytes", sum, size)
				}
			}
		}
	})
}

// A body that was changed on its way is sent again. The bytes that the store is
// offered first are others than the checksum is of.
func TestDamageOnTheWay(t *testing.T) {
	for _, sum := range []algorithm{sumCRC32C, sumSHA256, sumMD5} {
		s := onMinIO(t)
		data := pattern(1000)
		p := &part{number: 1, size: 1000, chunks: [][]byte{data}}
		d := s.digest(p, sum)
		data[500]++
		d.sha256 = s.digest(p, sum).sha256 // of the changed ones, as if nobody had signed them
		w := &writing{s: s, name: "damaged", token: "x"}
		_, err := w.request(t.Context(), p, d, w.cond)
		if err == nil {
			t.Errorf("%v: the store takes other bytes than the checksum is of", sum)
		}
		t.Logf("%v: %v", sum, s.fail(t.Context(), "damaged", err))
		wantAbsent(t, s, "damaged")
	}
}

// A store that does not know the checksum is offered another one, from the first
// object on.
func TestChecksumRefused(t *testing.T) {
	for _, size := range []int{10, 2*smallPart + 1} {
		s := onMinIO(t)
		s, f := behind(t, servers.MinIO(t), s)
		f.Do(func(r *http.Request) servers.Action {
			if r.Header.Get("X-Amz-Checksum-Crc32c") != "" {
				return servers.Action{Status: http.StatusNotImplemented, Code: "NotImplemented"}
			}
			return servers.Action{}
		})
		put(t, s, "object", pattern(size))
		wantObject(t, s, "object", pattern(size))
		if got, want := s.reportSum(), "Content-MD5, found out by trying"; got != want {
			t.Errorf("checksum: %q, want %q", got, want)
		}
	}
}

// Of 64 Puts of one name exactly one wins, whatever the objects' size.
func TestOneOf64Puts(t *testing.T) {
	several(t, func(t *testing.T, _ servers.S3, s *Store) {
		for _, size := range []int{1000, smallPart + 1} {
			name := fmt.Sprintf("race/%d", size)
			if size > smallPart && testing.Short() {
				continue
			}
			var wins atomic.Int32
			var wg sync.WaitGroup
			ready := make(chan struct{})
			var waiting atomic.Int32
			for i := range 64 {
				wg.Go(func() {
					r := io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{byte(i)}, size)), readerFunc(func([]byte) (int, error) {
						if waiting.Add(1) == 64 {
							close(ready)
						}
						<-ready
						return 0, io.EOF
					}))
					switch err := s.Put(t.Context(), name, r); {
					case err == nil:
						wins.Add(1)
					case !errors.Is(err, sdk.ErrExist):
						t.Errorf("a Put that lost: %v, want ErrExist", err)
					}
				})
			}
			wg.Wait()
			if wins.Load() != 1 {
				t.Errorf("%d of 64 Puts of %d bytes won", wins.Load(), size)
			}
			got := get(t, s, name, 0)
			if len(got) != size || bytes.Count(got, got[:1]) != size {
				t.Errorf("the object has %d bytes, want %d that are alike", len(got), size)
			}
			wantNoUploads(t, s, name)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// When the answer to the request that made the object was lost, the Put has
// succeeded all the same; and a Put of another object of that name has not.
func TestLostAnswer(t *testing.T) {
	m := servers.MinIO(t)
	for _, size := range []int{0, 1000, smallPart + 1} {
		s, f := behind(t, m, onMinIO(t))
		lost := 0
		f.Do(func(r *http.Request) servers.Action {
			whole := r.Method == http.MethodPut && r.URL.RawQuery == "" || r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
			if whole && lost < 2 {
				lost++
				return servers.Action{Lose: true}
			}
			return servers.Action{}
		})
		put(t, s, "object", pattern(size))
		if lost == 0 {
			t.Errorf("no answer was lost")
		}
		wantObject(t, s, "object", pattern(size))
		lost = 0
		if err := s.Put(t.Context(), "object", bytes.NewReader(pattern(size))); !errors.Is(err, sdk.ErrExist) {
			t.Errorf("another Put, of the same bytes: %v, want ErrExist", err)
		}
		lost = 0
		v, err := s.Version(t.Context(), "object")
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.Replace(t.Context(), "object", bytes.NewReader(pattern(size+1)), v)
		if err != nil || lost == 0 {
			t.Errorf("Replace with a lost answer: %v after %d lost ones", err, lost)
		}
		if v, err := s.Version(t.Context(), "object"); v != now || err != nil {
			t.Errorf("Version = %q, %v; Replace has returned %q", v, err, now)
		}
		wantObject(t, s, "object", pattern(size+1))
		wantNoUploads(t, s, "object")
	}
}

// Bodies that are cut off on their way are sent again, and no store keeps the
// beginning of one.
func TestCutRequests(t *testing.T) {
	several(t, func(t *testing.T, m servers.S3, direct *Store) {
		if m.Secure {
			t.Skip("inside TLS the proxy sees no requests")
		}
		for _, sum := range []string{"auto", "off"} {
			for _, size := range []int{100_000, 2*smallPart + 1} {
				s, f := behind(t, m, direct, func(c *client) { c.checksum = sum })
				cuts := 0
				f.Do(func(r *http.Request) servers.Action {
					if r.Method == http.MethodPut && cuts < 2 {
						cuts++
						return servers.Action{CutRequest: 50_000}
					}
					return servers.Action{}
				})
				name := fmt.Sprintf("%s/%d", sum, size)
				put(t, s, name, pattern(size))
				if cuts != 2 {
					t.Errorf("%d requests were cut off, want 2", cuts)
				}
				wantObject(t, direct, name, pattern(size))
				wantNoUploads(t, direct, name)
			}
		}
	})
}

// A store that turns half of all requests away gets the object nevertheless.
func TestSlowDown(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	s, f := behind(t, m, direct)
	f.Answer(0.5, 7, servers.SlowDown)
	data := pattern(4*smallPart + 1)
	put(t, s, "object", data)
	f.Pass()
	wantObject(t, s, "object", data)
	wantNoUploads(t, direct, "object")
}

// A Put that fails, because of its source, a cancel or the store, leaves no
// object and no upload.
func TestPutThatFails(t *testing.T) {
	direct := onMinIO(t)
	broken := errors.New("the source broke")
	for _, size := range []int{0, 1, smallPart, smallPart + 1, 3*smallPart + 5} {
		for _, failure := range []error{broken, io.ErrUnexpectedEOF, fmt.Errorf("wrapped: %w", io.EOF)} {
			r := io.MultiReader(bytes.NewReader(pattern(size)), readerFunc(func([]byte) (int, error) { return 0, failure }))
			if err := direct.Put(t.Context(), "failed", r); err != failure { //nolint:errorlint // as it is
				t.Errorf("Put from a source that fails at %d: %v, want %v", size, err, failure)
			}
			wantAbsent(t, direct, "failed")
			wantNoUploads(t, direct, "failed")
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := io.MultiReader(bytes.NewReader(pattern(size)), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, io.EOF
		}))
		if err := direct.Put(ctx, "failed", r); !errors.Is(err, context.Canceled) {
			t.Errorf("Put that is cancelled at %d: %v", size, err)
		}
		wantAbsent(t, direct, "failed")
		wantNoUploads(t, direct, "failed")
	}
	s, f := behind(t, servers.MinIO(t), direct)
	f.Do(func(r *http.Request) servers.Action {
		if r.URL.Query().Get("partNumber") == "3" {
			return servers.Action{Status: http.StatusForbidden, Code: "AccessDenied"}
		}
		return servers.Action{}
	})
	err := s.Put(t.Context(), "failed", bytes.NewReader(pattern(5*smallPart)))
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, context.Canceled) {
		t.Errorf("Put of which a part is refused: %v, want ErrPermission", err)
	}
	wantAbsent(t, direct, "failed")
	wantNoUploads(t, direct, "failed")
	if got := list(t, direct, ""); len(got) > 0 {
		t.Errorf("List = %q, want nothing", got)
	}
	if used, sending := buffers.Used(); used != 0 || sending != 0 {
		t.Errorf("%d chunks are in use, %d of them on their way; want none", used, sending)
	}
}

// A cancel that comes while the object is being made visible ends the Put soon,
// and what it says is true.
func TestCancelAtTheEnd(t *testing.T) {
	m := servers.MinIO(t)
	direct := onMinIO(t)
	for i, action := range []servers.Action{{}, {Lose: true}, {Delay: 2 * graceTime}, {Drop: true}, servers.SlowDown} {
		for _, size := range []int{1000, smallPart + 1} {
			s, f := behind(t, m, direct)
			name := fmt.Sprintf("late/%d/%d", i, size)
			ctx, cancel := context.WithCancel(t.Context())
			f.Do(func(r *http.Request) servers.Action {
				whole := r.Method == http.MethodPut && r.URL.RawQuery == "" || r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
				if whole {
					cancel()
					return action
				}
				return servers.Action{}
			})
			begin := time.Now()
			switch err := s.Put(ctx, name, bytes.NewReader(pattern(size))); {
			case err == nil:
				wantObject(t, direct, name, pattern(size))
			case errors.Is(err, context.Canceled):
				wantAbsent(t, direct, name)
			default:
				t.Errorf("Put that is cancelled at its end: %v", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("Put that is cancelled at its end takes %v", took)
			}
			wantNoUploads(t, direct, name)
		}
	}
}

// A store that has fewer bytes than were sent is not believed.
func TestStoredSize(t *testing.T) {
	s := onMinIO(t)
	w := &writing{s: s, name: "short", token: "token", size: 1001}
	p := &part{number: 1, size: 1000, chunks: [][]byte{pattern(1000)}}
	if _, err := w.request(t.Context(), p, s.digest(p, sumNone), w.cond); err != nil {
		t.Fatal(err)
	}
	w.verified = false
	var etag string
	if err := w.check(t.Context(), &etag); !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "1001 bytes were sent") {
		t.Errorf("check of an object that is too short: %v, want that it says so", err)
	}
	wantAbsent(t, s, "short")

	put(t, s, "another", pattern(1000)) // somebody else's: it stays
	w.name = "another"
	if err := w.check(t.Context(), &etag); err != nil {
		t.Errorf("check of what somebody else has replaced: %v", err)
	}
	w.undo(t.Context())
	wantObject(t, s, "another", pattern(1000))
}

// The customer's key goes with every request, and without it there is nothing to
// be read.
func TestCustomerKey(t *testing.T) {
	m := servers.MinIOTLS(t)
	key, err := encrypt.NewSSEC(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	plain := store(t, dial(t, m, "", nil), bucket(t, m, minio.MakeBucketOptions{}))
	s := store(t, plain.c.core, plain.c.bucket, func(c *client) { c.sse, c.put.ServerSideEncryption = key, key })
	for _, size := range []int{0, 10, 20<<20 + 1} {
		name := fmt.Sprintf("sealed/%d", size)
		put(t, s, name, pattern(size))
		wantObject(t, s, name, pattern(size))
		if got := get(t, s, name, int64(size/2)); !bytes.Equal(got, pattern(size)[size/2:]) {
			t.Errorf("Get of the second half of %d bytes has %d", size, len(got))
		}
		v, err := s.Version(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		now, err := s.Replace(t.Context(), name, bytes.NewReader(pattern(size+1)), v)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := s.Version(t.Context(), name); v != now || err != nil {
			t.Errorf("Version = %q, %v; Replace has returned %q", v, err, now)
		}
		if r, err := plain.Get(t.Context(), name, 0); err == nil {
			r.Close()
			t.Errorf("an object of %d bytes can be read without the key", size)
		}
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

// public lets everybody do everything in a bucket.
func public(t *testing.T, s *Store) *credentials.Credentials {
	t.Helper()
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},
		"Action":["s3:*"],"Resource":["arn:aws:s3:::` + s.c.bucket + `","arn:aws:s3:::` + s.c.bucket + `/*"]}]}`
	if err := s.c.core.SetBucketPolicy(t.Context(), s.c.bucket, policy); err != nil {
		t.Fatal(err)
	}
	return credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
}

// A store that ignores conditions is found out and reported, and taken names are
// refused nevertheless. The proxy takes the conditions away from requests that
// nobody has signed.
func TestConditionsIgnored(t *testing.T) {
	m := servers.MinIO(t)
	for _, c := range []struct {
		name                  string
		whole, inParts, match bool // ignored
	}{
		{"parts", false, true, false}, // as Ceph does
		{"all", true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct := onMinIO(t)
			nobody := public(t, direct)
			f := servers.Proxy(t, m.Endpoint)
			f.Do(func(r *http.Request) servers.Action {
				inParts := r.Method == http.MethodPost
				if inParts && c.inParts || !inParts && r.Method == http.MethodPut && c.whole {
					r.Header.Del("If-None-Match")
				}
				if c.match && r.Method != http.MethodGet {
					r.Header.Del("If-Match")
				}
				return servers.Action{}
			})
			s := store(t, dial(t, m, f.Addr, nobody), direct.c.bucket)
			large, small := pattern(smallPart+1), pattern(100)
			put(t, s, "large", large) // nothing is known yet
			refuse := func(name string) {
				t.Helper()
				for _, data := range [][]byte{nil, small, large} {
					if err := s.Put(t.Context(), name, bytes.NewReader(data)); !errors.Is(err, sdk.ErrExist) {
						t.Errorf("Put of %d bytes at a name that is taken: %v, want ErrExist", len(data), err)
					}
				}
			}
			put(t, s, "small", small)
			wantObject(t, s, "small", small)
			refuse("small")
			refuse("large")
			v, err := s.Version(t.Context(), "small")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Replace(t.Context(), "small", bytes.NewReader(small), "0123456789abcdef"); !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("Replace of a version that never was: %v, want ErrConflict", err)
			}
			if v, err = s.Replace(t.Context(), "small", bytes.NewReader(large), v); err != nil {
				t.Error(err)
			}
			if _, err = s.Replace(t.Context(), "small", bytes.NewReader(nil), v); err != nil {
				t.Error(err)
			}
			verdicts := map[*verdict]bool{&s.cond.single: c.whole, &s.cond.multipart: c.inParts, &s.cond.match: c.match}
			for v, want := range verdicts {
				if got := v.v.Load() == ignored; got != want || v.v.Load() == unknown {
					t.Errorf("single %v, multipart %v, match %v; want %+v", &s.cond.single, &s.cond.multipart, &s.cond.match, c)
				}
			}
			findings, err := s.Report(t.Context())
			problems := 0
			for _, f := range findings {
				if f.Problem {
					problems++
				}
			}
			if want := map[string]int{"parts": 1, "all": 3}[c.name]; err != nil || problems != want {
				t.Errorf("Report = %+v, %v; want %d problems", findings, err, want)
			}
			wantNoUploads(t, direct, "small")
			if got := strings.Join(list(t, direct, ""), " "); got != "large small" {
				t.Errorf("List = %q, want what was put", got)
			}
			for o := range direct.c.core.ListObjectsIter(t.Context(), direct.c.bucket, minio.ListObjectsOptions{Recursive: true}) {
				if strings.Contains(o.Key, hidden) {
					t.Errorf("%s was left behind", o.Key)
				}
			}
		})
	}
}
