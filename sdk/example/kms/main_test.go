package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/brock-backup/brock/sdk"
	"github.com/brock-backup/brock/sdk/sdktest"
)

func TestMain(m *testing.M) { sdktest.Main(m, main) }

func TestKeyProvider(t *testing.T) {
	s := httptest.NewServer(&service{keys: map[string][][]byte{}})
	defer s.Close()
	key := func(name string) Config {
		return Config{URL: s.URL + "/keys/" + name, Token: sdk.NewSecret("a-token-of-the-test")}
	}
	sdktest.TestKeyProvider(t, key("a"), sdktest.Other(key("b")))
}

func TestRotate(t *testing.T) {
	s := httptest.NewServer(&service{keys: map[string][][]byte{}})
	defer s.Close()
	k, err := open(t.Context(), Config{URL: s.URL + "/keys/a", Token: sdk.NewSecret("a-token-of-the-test")})
	if err != nil {
		t.Fatal(err)
	}
	w, err := k.Wrap(t.Context(), []byte("a data key"))
	if err != nil {
		t.Fatal(err)
	}
	if now, err := k.RotateKey(t.Context()); err != nil || now.KeyVersion != "2" {
		t.Errorf("RotateKey: %+v, %v", now, err)
	}
	again, err := k.Rewrap(t.Context(), w)
	if err != nil || again.KeyVersion != "2" || w.KeyVersion != "1" {
		t.Errorf("Rewrap: version %s of version %s, %v", again.KeyVersion, w.KeyVersion, err)
	}
	for _, w := range []sdk.WrappedKey{w, again} {
		if got, err := k.Unwrap(t.Context(), w); err != nil || string(got) != "a data key" {
			t.Errorf("Unwrap: %q, %v", got, err)
		}
	}
}

// A service is Example's: each key has versions, and what was wrapped begins with
// the number of one.
type service struct {
	mu   sync.Mutex
	keys map[string][][]byte
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/keys/"), ":")
	var in message
	if r.Header.Get("Authorization") != "Bearer a-token-of-the-test" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if s.keys[name] == nil || verb == "rotate" {
		s.keys[name] = append(s.keys[name], []byte(rand.Text() + rand.Text())[:32])
	}
	out, ok := s.answer(name, verb, in)
	if !ok {
		w.WriteHeader(http.StatusConflict)
		return
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (s *service) answer(name, verb string, in message) (out message, ok bool) {
	out.Key, out.Version = "kms/"+name, len(s.keys[name])
	switch verb {
	case "status", "rotate":
		return out, true
	case "generate":
		out.Plaintext = []byte(rand.Text() + rand.Text())[:32]
		in.Plaintext = out.Plaintext
	case "unwrap", "rewrap":
		if in.Key != out.Key || len(in.Wrapped) == 0 || int(in.Wrapped[0]) > out.Version || in.Wrapped[0] == 0 {
			return out, false
		}
		plain, err := aead(s.keys[name][in.Wrapped[0]-1]).Open(nil, nil, in.Wrapped[1:], nil)
		if err != nil {
			return out, false
		}
		if verb == "unwrap" {
			out.Plaintext = plain
			return out, true
		}
		in.Plaintext = plain
	}
	out.Wrapped = aead(s.keys[name][out.Version-1]).Seal([]byte{byte(out.Version)}, nil, in.Plaintext, nil)
	return out, true
}

func aead(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return a
}
