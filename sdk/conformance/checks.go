package conformance

// directChecks need nothing but a destination. They are in the order in which
// an author meets the promises.
func directChecks() []check[*place] {
	return []check[*place]{
		{"core", "put and get every size", direct(putSizes)},
		{"core", "put from any reader", direct(putOddSource)},
		{"core", "get from an offset", direct(getOffsets)},
		{"core", "get what is not there", direct(getMissing)},
		{"core", "absent is not forbidden", direct(notDenied)},
		{"core", "put never overwrites", direct(putNeverOverwrites)},
		{"core", "one of 64 puts wins", direct(putRacers)},
		{"core", "invisible until complete", direct(putInvisible)},
		{"core", "failing source leaves nothing", direct(putFailingSource)},
		{"core", "cancelled put leaves nothing", direct(putCancelled)},
		{"core", "put that is too late", direct(putTooLate)},
		{"core", "get closed early", direct(getClosedEarly)},
		{"core", "get cancelled", direct(getCancelled)},
		{"core", "list order and prefixes", direct(listOrder)},
		{"core", "list more than a page", direct(listMany)},
		{"core", "names of every kind", direct(namesClean)},
		{"core", "names that lead elsewhere", direct(namesRefused)},
		{"core", "delete twice, and nothing else", direct(deleteTwice)},
		{"core", "many at once", direct(manyAtOnce)},
		{"replace", "replace the version given only", whereReplacer(replaceVersions)},
		{"replace", "one of 64 replaces wins", whereReplacer(replaceRacers)},
		{"replace", "failing replace leaves the old one", whereReplacer(replaceFailingSource)},
		{"replace", "replace is seen whole", whereReplacer(replaceWhole)},
		{"probe", "probe leaves nothing", probeLeavesNothing},
	}
}

// destinationChecks are those and the ones that are about a process.
func destinationChecks() []check[*place] {
	checks := []check[*place]{
		{"core", "describes itself", inLab(describeStable)},
		{"core", "settings are strict", inLab(settingsStrict)},
	}
	checks = append(checks, directChecks()...)
	return append(
		checks,
		check[*place]{"core", "forbidden is not absent", denied},
		check[*place]{"core", "objects outlive the process", outlive},
		check[*place]{"core", "instances are separate", separate},
		check[*place]{"core", "secret settings appear nowhere", inLab(secretSettings)},
	)
}

func keyChecks() []check[*keyring] {
	return []check[*keyring]{
		{"keys-wrap", "describes itself", ofKeysLab(describeStable)},
		{"keys-wrap", "settings are strict", ofKeysLab(settingsStrict)},
		{"keys-wrap", "wrap and unwrap", ofKeys(wrapRoundTrip)},
		{"keys-wrap", "a wrapped key shows nothing", ofKeys(wrapHides)},
		{"keys-wrap", "unwrap what was tampered with", ofKeys(unwrapTampered)},
		{"keys-wrap", "unwrap with another key", ofKeys(unwrapOther)},
		{"keys-wrap", "unwrap in another process", ofKeys(unwrapElsewhere)},
		{"keys-wrap", "many at once", ofKeys(wrapConcurrent)},
		{"keys-wrap", "wrap that is too late", ofKeys(wrapCancelled)},
		{"keys-export", "export a key that fits", ofKeys(exportSize)},
		{"keys-wrap", "keys appear nowhere", ofKeys(keysHidden)},
		{"keys-wrap", "secret settings appear nowhere", ofKeysLab(secretSettings)},
	}
}

func direct(run func(*place)) func(*trial, *place) {
	return func(_ *trial, p *place) { run(p) }
}

func inLab(run func(*trial, *lab)) func(*trial, *place) {
	return func(t *trial, p *place) { run(t, p.lab) }
}

func ofKeys(run func(*keyring)) func(*trial, *keyring) {
	return func(_ *trial, k *keyring) { run(k) }
}

func ofKeysLab(run func(*trial, *lab)) func(*trial, *keyring) {
	return func(t *trial, k *keyring) { run(t, k.lab) }
}
