package main

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"

	"github.com/brock-backup/brock/sdk"
)

// A signed is a shared access signature as the parameters of an address, which is
// how the portal's "Blob SAS URL" has it.
type signed struct {
	Sig   sdk.Secret `json:"sig"   doc:"signature of a SAS: the address that the portal shows as Blob SAS URL, with all of its parameters, is a location"`
	SV    string     `json:"sv"    doc:"of a SAS: version"`
	SS    string     `json:"ss"    doc:"of a SAS: services"`
	SRT   string     `json:"srt"   doc:"of a SAS: types of resources"`
	SR    string     `json:"sr"    doc:"of a SAS: resource"`
	SP    string     `json:"sp"    doc:"of a SAS: permissions"`
	ST    string     `json:"st"    doc:"of a SAS: start"`
	SE    string     `json:"se"    doc:"of a SAS: end"`
	SIP   string     `json:"sip"   doc:"of a SAS: addresses that it is good for"`
	SPR   string     `json:"spr"   doc:"of a SAS: protocols"`
	SI    string     `json:"si"    doc:"of a SAS: stored access policy"`
	SES   string     `json:"ses"   doc:"of a SAS: encryption scope"`
	SDD   string     `json:"sdd"   doc:"of a SAS: depth of the directory"`
	SKOID string     `json:"skoid" doc:"of a SAS: who delegated it"`
	SKTID string     `json:"sktid" doc:"of a SAS: tenant of who delegated it"`
	SKT   string     `json:"skt"   doc:"of a SAS: start of the delegation"`
	SKE   string     `json:"ske"   doc:"of a SAS: end of the delegation"`
	SKS   string     `json:"sks"   doc:"of a SAS: service of the delegation"`
	SKV   string     `json:"skv"   doc:"of a SAS: version of the delegation"`
	SAOID string     `json:"saoid" doc:"of a SAS: who may use it"`
	SUOID string     `json:"suoid" doc:"of a SAS: who uses it"`
	SCID  string     `json:"scid"  doc:"of a SAS: correlation id"`
}

// token returns the signature as one text, or nothing if no part of one was given.
// A part of one is an error.
func (s signed) token() (sdk.Secret, error) {
	q, v := url.Values{}, reflect.ValueOf(s)
	for sf, field := range v.Fields() {
		name := sf.Tag.Get("json")
		switch value := field.Interface().(type) {
		case string:
			if value != "" {
				q.Set(name, value)
			}
		case sdk.Secret:
			if !value.IsZero() {
				q.Set(name, value.RevealString())
			}
		}
	}
	if len(q) == 0 {
		return sdk.Secret{}, nil
	}
	var missing []string
	for _, name := range []string{"sv", "sig"} {
		if !q.Has(name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return sdk.Secret{}, sdk.WithHint(fmt.Errorf("this is a part of a SAS, without %s: %w", strings.Join(missing, " and "), sdk.ErrInvalid),
			"in a shell, put the whole address into quotes, or it ends at the first &; or put the SAS whole into AZURE_STORAGE_SAS_TOKEN, or into sas of --location-settings")
	}
	return sdk.NewSecret(q.Encode()), nil
}
