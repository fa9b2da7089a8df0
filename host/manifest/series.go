package manifest

import (
	"fmt"
	"io"
)

// NewSeries draws a name for a series, such as patient_dewey7, from a reader of
// random bytes. There are 40,960: the caller draws again if one is taken. It panics if
// there is no randomness to be had.
func NewSeries(random io.Reader) string {
	var b [3]byte
	for {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			panic(fmt.Sprintf("manifest: no random bytes for a series: %v", err))
		}
		if b[2] < 250 { // or the digits would not be equally likely
			break
		}
	}
	return fmt.Sprintf("%s_%s%d", adjectives[b[0]%64], surnames[b[1]%64], b[2]%10)
}

// Words about keeping things, and people who did: librarians, archivists, astronomers
// who kept catalogues, makers of maps and dictionaries. No adjective is one of
// Dgraph's, so a series that Brock begins never bears the name of one of Dgraph's.
var (
	adjectives = [64]string{
		"airy", "alert", "ample", "ancient", "autumnal", "avid", "balanced", "brisk",
		"candid", "careful", "chalky", "cobalt", "coppery", "crisp", "dapper", "deft",
		"discreet", "dutiful", "earnest", "evergreen", "faithful", "fearless", "fluent", "frugal",
		"glacial", "granite", "handy", "hardy", "humble", "indigo", "ivory", "jaunty",
		"keeping", "lasting", "leafy", "legible", "lunar", "mellow", "mindful", "mossy",
		"nimble", "northern", "oaken", "orderly", "patient", "pebbled", "placid", "plucky",
		"polished", "punctual", "quiet", "rugged", "russet", "seasoned", "silver", "snug",
		"spacious", "steady", "sturdy", "tidal", "unhurried", "velvet", "watchful", "woven",
	}
	surnames = [64]string{
		"alexandria", "argelander", "ashurbanipal", "banks", "bede", "behaim", "bodley", "borges",
		"brahe", "callimachus", "cannon", "cassini", "cassiodorus", "coronelli", "cotton", "cutter",
		"dana", "demetrius", "dewey", "dreyer", "eratosthenes", "fabricius", "flamsteed", "fleming",
		"gesner", "grimm", "halley", "harley", "herschel", "hevelius", "hipparchus", "hypatia",
		"idrisi", "isidore", "jenkinson", "johnson", "kircher", "lacaille", "larousse", "leavitt",
		"lowell", "mercator", "messier", "murray", "naude", "ortelius", "otlet", "panizzi",
		"payne", "pepys", "pliny", "ptolemy", "ranganathan", "sears", "sloane", "spofford",
		"strabo", "tharp", "ulugh", "varro", "vitruvius", "waldseemuller", "webster", "zenodotus",
	}
)
