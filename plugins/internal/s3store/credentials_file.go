package s3store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A stamp tells one state of a file from the next.
type stamp struct {
	path string
	info os.FileInfo // nil: there was none
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		info = nil
	}
	return stamp{path, info}
}

func (s stamp) changed() bool {
	now := stampOf(s.path)
	if s.info == nil || now.info == nil {
		return (s.info == nil) != (now.info == nil)
	}
	return !os.SameFile(s.info, now.info) || !s.info.ModTime().Equal(now.info.ModTime()) || s.info.Size() != now.info.Size()
}

// profile finds keys in the shared credentials file, or in the configuration
// file beside it. A profile that somebody has named must be there.
func profile(name string, asked bool) finder {
	return func(context.Context) (*credential, error) {
		name, asked := name, asked
		for _, v := range []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE"} {
			if name == "" && os.Getenv(v) != "" {
				name, asked = os.Getenv(v), true
			}
		}
		if name == "" {
			name = "default"
		}
		return readProfile(name, asked || os.Getenv("AWS_SHARED_CREDENTIALS_FILE") != "")
	}
}

func readProfile(name string, asked bool) (*credential, error) {
	main := awsFile("AWS_SHARED_CREDENTIALS_FILE", "credentials")
	other := awsFile("AWS_CONFIG_FILE", "config")
	stamps := []stamp{stampOf(main), stampOf(other)} // before they are read
	foreign := ""
	for i, path := range []string{main, other} {
		section := name
		if i == 1 && name != "default" {
			section = "profile " + name
		}
		values, err := readSection(path, section)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
		from := fmt.Sprintf("file %s, profile %s", short(path), name)
		c := &credential{id: values["aws_access_key_id"], secret: values["aws_secret_access_key"], token: values["aws_session_token"], from: from, files: stamps}
		switch {
		case c.id.IsZero() != c.secret.IsZero():
			return nil, fmt.Errorf("credentials: %s: of aws_access_key_id and aws_secret_access_key one is missing: %w", from, sdk.ErrInvalid)
		case !c.id.IsZero():
			return c, nil
		}
		for _, other := range []string{"role_arn", "sso_session", "sso_start_url", "credential_process"} {
			if !values[other].IsZero() {
				foreign = other
			}
		}
	}
	switch {
	case !asked:
		return nil, nil
	case foreign != "":
		return nil, sdk.WithHint(
			fmt.Errorf("credentials: profile %s has no keys but %s, which this plugin does not follow: %w", name, foreign, sdk.ErrInvalid),
			fmt.Sprintf("aws configure export-credentials --profile %s --format env prints keys that can be used", name))
	}
	return nil, sdk.WithHint(
		&failure{text: fmt.Sprintf("credentials: neither %s nor %s has keys of a profile %s", short(main), short(other), name), kind: sdk.ErrPermission},
		"settings profile and credentials, and the variables AWS_PROFILE and AWS_SHARED_CREDENTIALS_FILE, say where keys are")
}

// awsFile returns the path that a variable names, or else the usual one.
func awsFile(env, base string) string {
	if path := os.Getenv(env); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(".aws", base)
	}
	return filepath.Join(home, ".aws", base)
}

// short writes the home directory as ~.
func short(path string) string {
	home, err := os.UserHomeDir()
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); err == nil && home != "" && ok {
		return "~" + string(filepath.Separator) + rest
	}
	return path
}

// maxFile is how much of such a file is read, in bytes.
const maxFile = 1 << 20

// readSection returns what stands in a section of a file as the tools of Amazon
// write it. A section that is not there is empty.
func readSection(path, section string) (map[string]sdk.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := map[string]sdk.Secret{}
	in := false
	lines := bufio.NewScanner(io.LimitReader(f, maxFile))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.ContainsAny(line[:1], "#; \t") { // settings within settings are indented
			continue
		}
		for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
			line, _, _ = strings.Cut(line, comment)
		}
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "["); ok {
			name, _, _ = strings.Cut(name, "]")
			in = strings.Join(strings.Fields(name), " ") == section
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok && in {
			values[strings.ToLower(strings.TrimSpace(name))] = sdk.NewSecret(strings.TrimSpace(value))
		}
	}
	return values, lines.Err()
}
