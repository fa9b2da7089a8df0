package servers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

type answer struct {
	status int
	body   []byte
}

// request asks one server once. A body is sent as JSON.
func request(ctx context.Context, method, url, ca string, header http.Header, body any) (answer, error) {
	c, err := client(ca)
	if err != nil {
		return answer{}, err
	}
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return answer{}, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return answer{}, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", url, err)
	}
	return answer{resp.StatusCode, data}, nil
}
