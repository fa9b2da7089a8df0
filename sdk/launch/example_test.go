//go:build unix

package launch_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/brock-backup/brock/sdk/launch"
)

func ExampleStart() {
	ctx := context.Background()
	// The test binary is a plugin itself; a host names a file of a plugin directory.
	p, err := launch.Start(ctx, os.Args[0], launch.Options{Env: []string{"BROCK_TEST_ROLE=memory"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	d, err := p.OpenDestination(ctx, map[string]any{"uri": "mem://attic"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Put(ctx, "a/1", strings.NewReader("hello")))
	for obj, err := range d.List(ctx, "a/") {
		fmt.Println(obj.Name, obj.Size, err)
	}
	fmt.Println(p.Description().Name, p.Description().Capabilities)
	// Output:
	// <nil>
	// a/1 5 <nil>
	// memory [replace]
}

func ExampleProcess_OpenKeyProvider() {
	ctx := context.Background()
	p, err := launch.Start(ctx, os.Args[0], launch.Options{Env: []string{"BROCK_TEST_ROLE=keys"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	k, err := p.OpenKeyProvider(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := k.Wrap(ctx, []byte("data key"))
	fmt.Println(w.KeyID, err)
	// Output: ring/1 <nil>
}
