package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/brock-backup/brock/sdk"
)

// Config is the settings of a plugin.
type Config struct {
	URI   string     `json:"uri" required:"true" doc:"where the objects are"`
	Token sdk.Secret `json:"token" env:"SHELF_TOKEN" doc:"credential"`
}

// A Shelf is a destination.
type Shelf struct{ config Config }

// Open is called with the user's settings.
func Open(_ context.Context, c Config) (*Shelf, error) {
	if c.Token.IsZero() {
		err := fmt.Errorf("shelf %s wants a token: %w", c.URI, sdk.ErrPermission)
		return nil, sdk.WithHint(err, "set token, or the environment variable SHELF_TOKEN")
	}
	return &Shelf{c}, nil
}

func (s *Shelf) Put(context.Context, string, io.Reader) error { return sdk.ErrUnsupported }

func (s *Shelf) Get(_ context.Context, name string, _ int64) (io.ReadCloser, error) {
	return nil, fmt.Errorf("shelf %s: %s: %w", s.config.URI, name, sdk.ErrNotExist)
}

func (s *Shelf) List(context.Context, string) iter.Seq2[sdk.Object, error] {
	return func(func(sdk.Object, error) bool) {}
}

func (s *Shelf) Delete(context.Context, string) error { return nil }

// The whole main function of a destination plugin.
func ExampleServeDestination() {
	main := func() {
		sdk.ServeDestination(sdk.Plugin{
			Name:    "shelf",
			Version: "0.1.0",
			Doc:     "Keeps backups on a shelf.",
			Schemes: []string{"shelf"},
		}, Open)
	}
	_ = main
}

// A Safe is a key provider.
type Safe struct{}

func (Safe) Wrap(_ context.Context, dataKey []byte) (sdk.WrappedKey, error) {
	return sdk.WrappedKey{KeyID: "safe/1", Ciphertext: dataKey}, nil // a real one encrypts
}

func (Safe) Unwrap(_ context.Context, w sdk.WrappedKey) ([]byte, error) {
	if w.KeyID != "safe/1" {
		return nil, fmt.Errorf("key %s, have safe/1: %w", w.KeyID, sdk.ErrWrongKey)
	}
	return w.Ciphertext, nil
}

// The whole main function of a key provider plugin.
func ExampleServeKeyProvider() {
	main := func() {
		sdk.ServeKeyProvider(sdk.Plugin{Name: "safe", Version: "0.1.0"}, func(context.Context, struct{}) (Safe, error) {
			return Safe{}, nil
		})
	}
	_ = main
}

func ExampleNewSecret() {
	token := sdk.NewSecret("hunter2")
	fmt.Printf("%v %s %x\n", token, token, token)
	fmt.Println(token.RevealString())
	// Output:
	// [secret] [secret] [secret]
	// hunter2
}

func ExampleSecret() {
	c := Config{URI: "shelf://attic", Token: sdk.NewSecret("hunter2")}
	fmt.Printf("%+v\n", c)
	// Output: {URI:shelf://attic Token:[secret]}
}

func ExampleWithHint() {
	_, err := Open(context.Background(), Config{URI: "shelf://attic"})
	fmt.Println(err)
	fmt.Println("hint:", sdk.Hint(err))
	// Output:
	// shelf shelf://attic wants a token: permission denied
	// hint: set token, or the environment variable SHELF_TOKEN
}

func ExampleDestination() {
	shelf, _ := Open(context.Background(), Config{URI: "shelf://attic", Token: sdk.NewSecret("t")})
	_, err := shelf.Get(context.Background(), "a/1", 0)
	fmt.Println(err, errors.Is(err, fs.ErrNotExist))
	// Output: shelf shelf://attic: a/1: file does not exist true
}

func ExampleKeyProvider() {
	w, _ := Safe{}.Wrap(context.Background(), []byte("data key"))
	key, err := Safe{}.Unwrap(context.Background(), w)
	fmt.Println(w.KeyID, string(key), err)
	_, err = Safe{}.Unwrap(context.Background(), sdk.WrappedKey{KeyID: "safe/2"})
	fmt.Println(errors.Is(err, sdk.ErrWrongKey))
	// Output:
	// safe/1 data key <nil>
	// true
}
