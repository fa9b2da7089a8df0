package conformance

// directChecks need nothing but a destination. They are in the order in which
// an author meets the promises.
func directChecks() []check[*place] {
	return []check[*place]{
		{"put and get", "core", "put and get every size", direct(putSizes)},
		{"put and get", "core", "put from any reader", direct(putOddSource)},
		{"put and get", "core", "get from an offset", direct(getOffsets)},
		{"errors", "core", "get what is not there", direct(getMissing)},
		{"errors", "core", "absent is not forbidden", direct(notDenied)},
		{"conditions", "core", "put never overwrites", direct(putNeverOverwrites)},
		{"conditions", "core", "one of 64 puts wins", direct(putRacers)},
		{"put and get", "core", "invisible until complete", direct(putInvisible)},
		{"put and get", "core", "failing source leaves nothing", direct(putFailingSource)},
		{"put and get", "core", "cancelled put leaves nothing", direct(putCancelled)},
		{"put and get", "core", "put that is too late", direct(putTooLate)},
		{"put and get", "core", "get closed early", direct(getClosedEarly)},
		{"put and get", "core", "get cancelled", direct(getCancelled)},
		{"list", "core", "list order and prefixes", direct(listOrder)},
		{"list", "core", "list more than a page", direct(listMany)},
		{"names", "core", "names of every kind", direct(namesClean)},
		{"names", "core", "names that lead elsewhere", direct(namesRefused)},
		{"put and get", "core", "delete twice, and nothing else", direct(deleteTwice)},
		{"concurrency", "core", "many at once", direct(manyAtOnce)},
		{"conditions", "replace", "replace the version given only", whereReplacer(replaceVersions)},
		{"conditions", "replace", "one of 64 replaces wins", whereReplacer(replaceRacers)},
		{"conditions", "replace", "failing replace leaves the old one", whereReplacer(replaceFailingSource)},
		{"conditions", "replace", "replace is seen whole", whereReplacer(replaceWhole)},
		{"put and get", "probe", "probe leaves nothing", probeLeavesNothing},
	}
}

// destinationChecks are those and the ones that are about a process.
func destinationChecks() []check[*place] {
	checks := []check[*place]{
		{"protocol", "core", "describes itself", inLab(describeStable)},
		{"errors", "core", "settings are strict", inLab(settingsStrict)},
	}
	checks = append(checks, directChecks()...)
	return append(
		checks,
		check[*place]{"errors", "core", "forbidden is not absent", denied},
		check[*place]{"life cycle", "core", "objects outlive the process", outlive},
		check[*place]{"life cycle", "core", "instances are separate", separate},
		check[*place]{"secrets", "core", "secret settings appear nowhere", inLab(secretSettings)},
	)
}

func keyChecks() []check[*keyring] {
	return []check[*keyring]{
		{"protocol", "keys-wrap", "describes itself", ofKeysLab(describeStable)},
		{"errors", "keys-wrap", "settings are strict", ofKeysLab(settingsStrict)},
		{"put and get", "keys-wrap", "wrap and unwrap", ofKeys(wrapRoundTrip)},
		{"secrets", "keys-wrap", "a wrapped key shows nothing", ofKeys(wrapHides)},
		{"errors", "keys-wrap", "unwrap what was tampered with", ofKeys(unwrapTampered)},
		{"errors", "keys-wrap", "unwrap with another key", ofKeys(unwrapOther)},
		{"life cycle", "keys-wrap", "unwrap in another process", ofKeys(unwrapElsewhere)},
		{"concurrency", "keys-wrap", "many at once", ofKeys(wrapConcurrent)},
		{"put and get", "keys-wrap", "wrap that is too late", ofKeys(wrapCancelled)},
		{"put and get", "keys-export", "export a key that fits", ofKeys(exportSize)},
		{"secrets", "keys-wrap", "keys appear nowhere", ofKeys(keysHidden)},
		{"secrets", "keys-wrap", "secret settings appear nowhere", ofKeysLab(secretSettings)},
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
