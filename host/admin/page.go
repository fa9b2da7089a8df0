package admin

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// The page of GET /admin is one document that fetches nothing from anywhere else. A
// browser runs the script that it has, and no other.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

// wantsPage reports whether a request is that of somebody who has nothing to ask yet, and takes
// HTML. The page holds nothing that is not in Brock's source.
func wantsPage(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && (r.URL.Path == "/admin" || r.URL.Path == "/admin/") &&
		!r.URL.Query().Has("query") && !r.URL.Query().Has("extensions") && (accept == "" || strings.Contains(accept, "text/html") || strings.Contains(accept, "*/*"))
}

// page answers a browser.
func (a *Admin) page(w http.ResponseWriter) {
	text, policy := document()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write([]byte(text))
}

// document is the page, and what the browser may do for it.
var document = sync.OnceValues(func() (text, policy string) {
	text = strings.NewReplacer("STYLE", pageStyle, "SCRIPT", pageScript).Replace(pageHTML)
	policy = fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		source(pageScript), source(pageStyle))
	return text, policy
})

// source names a script or a style by what it is.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
