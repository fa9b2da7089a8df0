package admin

import "net/http"

// Admit lets tests ask a guard directly.
func (g *Guard) Admit(r *http.Request) (from string, err error) { return g.admit(r) }
