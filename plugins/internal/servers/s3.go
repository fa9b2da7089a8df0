package servers

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
)

const region = "us-east-1"

var (
	minioTool = goTool("minio", "github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
	mc        = goTool("mc", "github.com/minio/mc", "v0.0.0-20250313080218-cf909e1063a9")

	minio    = &server{"minio", []tool{minioTool, mc}, planMinIO(false)}
	minioTLS = &server{"minio-tls", []tool{minioTool, mc}, planMinIO(true)}

	versitygw = &server{
		"versitygw",
		[]tool{goTool("versitygw", "github.com/versity/versitygw/cmd/versitygw", "v1.8.0")},
		planVersity,
	}
)

// planMinIO plans a MinIO of one drive.
func planMinIO(secure bool) func(dir, program string) (plan, error) {
	return func(dir, program string) (plan, error) {
		ports, err := freePorts(2)
		if err != nil {
			return plan{}, err
		}
		certs, data := filepath.Join(dir, "certs"), filepath.Join(dir, "data")
		for _, d := range []string{certs, data} {
			if err := os.Mkdir(d, 0o700); err != nil {
				return plan{}, err
			}
		}
		s := S3{
			Endpoint:  "127.0.0.1:" + ports[0],
			Secure:    secure,
			AccessKey: rand.Text()[:20],
			SecretKey: rand.Text(),
			Region:    region,
		}
		if secure {
			s.CAFile = filepath.Join(dir, "ca.crt")
			if err := certify(s.CAFile, filepath.Join(certs, "public.crt"), filepath.Join(certs, "private.key")); err != nil {
				return plan{}, err
			}
		}
		kms := make([]byte, 32)
		_, _ = rand.Read(kms) // never fails
		health := s.URL() + "/minio/health/cluster"
		return plan{
			dir: dir,
			args: []string{
				program, "server", "--quiet",
				"--address", s.Endpoint, "--console-address", "127.0.0.1:" + ports[1], "--certs-dir", certs, data,
			},
			env: []string{
				"MINIO_ROOT_USER=" + s.AccessKey,
				"MINIO_ROOT_PASSWORD=" + s.SecretKey,
				"MINIO_KMS_SECRET_KEY=brock-tests:" + base64.StdEncoding.EncodeToString(kms),
				"MINIO_DOMAIN=s3.test",
				"MINIO_SITE_REGION=" + region,
				"MINIO_BROWSER=off",
				"MINIO_UPDATE=off", // else it asks the world for news
				"MINIO_CI_CD=1",    // else it wants a drive of its own
				"GOMEMLIMIT=1GiB",
			},
			vars:  s.vars().with(vars{"URL": s.URL(), "HEALTH": health, "CA": s.CAFile}),
			ready: func(ctx context.Context) error { return answers(ctx, health, s.CAFile) },
		}, nil
	}
}

// planVersity plans a versitygw that keeps objects, their older versions and its users in three folders.
func planVersity(dir, program string) (plan, error) {
	ports, err := freePorts(2)
	if err != nil {
		return plan{}, err
	}
	data, versions, users := filepath.Join(dir, "data"), filepath.Join(dir, "versions"), filepath.Join(dir, "iam")
	for _, d := range []string{data, versions, users} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return plan{}, err
		}
	}
	s := S3{
		Endpoint:  "127.0.0.1:" + ports[0],
		AccessKey: rand.Text()[:20],
		SecretKey: rand.Text(),
		Region:    region,
	}
	health := s.URL() + "/health"
	return plan{
		dir: dir,
		args: []string{
			program, "--port", s.Endpoint, "--admin-port", "127.0.0.1:" + ports[1], "--region", region,
			"--iam-dir", users, "--virtual-domain", "s3.test", "--health", "/health",
			"posix", "--versioning-dir", versions, data,
		},
		env: []string{
			"ROOT_ACCESS_KEY=" + s.AccessKey,
			"ROOT_SECRET_KEY=" + s.SecretKey,
			"GOMEMLIMIT=1GiB",
		},
		vars:  s.vars().with(vars{"URL": s.URL(), "HEALTH": health, "CA": ""}),
		ready: func(ctx context.Context) error { return answers(ctx, health, "") },
	}, nil
}
