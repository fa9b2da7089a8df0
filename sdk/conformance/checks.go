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

// destinationChecks are those and the ones that are about a process, or about
// what goes over the wire.
func destinationChecks() []check[*place] {
	checks := ofLab(protocolChecks("core"), inLab)
	checks = append(checks, directChecks()...)
	checks = append(checks, []check[*place]{
		{"protocol", "core", "unknown fields are ignored", direct(putUnknownFields)},
		{"put and get", "core", "half-close is no commit", direct(halfClose)},
		{"put and get", "core", "cancel is no commit", direct(cancelSteps)},
		{"put and get", "core", "damaged frames are refused", direct(damagedFrames)},
		{"put and get", "core", "a commit matches the frames", direct(wrongCommits)},
		{"put and get", "core", "nothing follows a commit", direct(afterCommit)},
		{"put and get", "core", "get is framed and sealed", direct(getSealed)},
		{"put and get", "core", "objects take either connection", direct(eitherWay)},
		{"put and get", "limits", "parts of every size", direct(putParts)},
		{"conditions", "core", "unknown conditions are refused", direct(unknownCondition)},
		{"conditions", "core", "a put may be sent again", direct(replayedPut)},
		{"names", "core", "names are checked by the plugin", direct(namesRefusedByPlugin)},
		{"list", "core", "list during change", direct(listDuringChange)},
		{"put and get", "report", "a report tells no secret and changes nothing", reports},
		{"errors", "core", "errors say their kind", direct(errorsSayTheirKind)},
		{"errors", "core", "forbidden is not absent", denied},
		{"errors", "core", "missing is not empty", missing},
		{"errors", "core", "read-only is forbidden", readOnly},
		{"errors", "core", "full is said so", full},
		{"errors", "core", "throttled is worth another try", throttled},
		{"concurrency", "limits", "puts to the limit and beyond", direct(putLimit)},
		{"concurrency", "limits", "the largest object", direct(objectLimit)},
		{"life cycle", "life", "objects outlive the process", outlive},
		{"life cycle", "life", "instances are separate", separate},
		{"life cycle", "life", "cancel reaches the plugin", cancelHeard},
		{"leaks", "life", "a thousand operations leave nothing", putLeaks},
	}...)
	checks = append(checks, ofLab(lifeChecks("core"), inLab)...)
	return append(checks, check[*place]{"speed", "speed", "speed of put and get", speed})
}

func keyChecks() []check[*keyring] {
	checks := ofLab(protocolChecks("keys-wrap"), ofKeysLab)
	checks = append(checks, []check[*keyring]{
		{"protocol", "keys-wrap", "unknown fields are ignored", ofKeys(wrapUnknownFields)},
		{"put and get", "keys-wrap", "wrap and unwrap", ofKeys(wrapRoundTrip)},
		{"put and get", "keys-wrap", "wrap of odd sizes", ofKeys(wrapOddSizes)},
		{"put and get", "keys-wrap", "wrap that is too late", ofKeys(wrapCancelled)},
		{"put and get", "keys-export", "export a key that fits", ofKeys(exportSize)},
		{"put and get", "keys-rotate", "data keys that the service makes", ofKeys(generated)},
		{"put and get", "keys-rotate", "wrapped again by the key of today", ofKeys(rewraps)},
		{"errors", "keys-wrap", "unwrap what was tampered with", ofKeys(unwrapTampered)},
		{"errors", "keys-wrap", "unwrap under another id", ofKeys(unwrapOtherID)},
		{"errors", "keys-wrap", "unwrap with another key", ofKeys(unwrapOther)},
		{"concurrency", "keys-wrap", "many at once", ofKeys(wrapConcurrent)},
		{"life cycle", "life", "unwrap in another process", ofKeys(unwrapElsewhere)},
		{"life cycle", "life", "instances are separate", ofKeys(keysSeparate)},
		{"leaks", "life", "a thousand operations leave nothing", ofKeys(wrapLeaks)},
		{"secrets", "keys-wrap", "a wrapped key shows nothing", ofKeys(wrapHides)},
		{"secrets", "keys-wrap", "keys appear nowhere", ofKeys(keysHidden)},
	}...)
	return append(checks, ofLab(lifeChecks("keys-wrap"), ofKeysLab)...)
}

// protocolChecks and lifeChecks are for both kinds of plugin. The profile given
// is that which every plugin of its kind has.
func protocolChecks(core string) []check[*lab] {
	return []check[*lab]{
		{"protocol", core, "describes itself", describeStable},
		{"protocol", core, "greets with one line", greets},
		{"protocol", core, "tells its own version", tellsVersion},
		{"protocol", core, "started by hand", byHand},
		{"protocol", core, "describes itself by hand", describesByHand},
		{"protocol", core, "unknown instance is refused", unknownInstance},
		{"protocol", core, "an instance id is used once", instanceOnce},
		{"protocol", core, "oversize message is survived", oversize},
		{"errors", core, "settings are strict", settingsStrict},
	}
}

func lifeChecks(core string) []check[*lab] {
	return []check[*lab]{
		{"life cycle", "life", "ends with its host", endsWithItsHost},
		{"life cycle", "life", "stopped and resumed", stopped},
		{"life cycle", "life", "killed in the middle", killed},
		{"life cycle", "life", "told to end in the middle", drains},
		{"secrets", core, "secret settings appear nowhere", secretSettings},
		{"secrets", core, "secret settings are not for everybody", secretsUnseen},
	}
}

// ofLab makes checks of a plugin into those of what it serves.
func ofLab[S any](checks []check[*lab], of func(func(*trial, *lab)) func(*trial, S)) []check[S] {
	var all []check[S]
	for _, c := range checks {
		all = append(all, check[S]{c.group, c.profile, c.name, of(c.run)})
	}
	return all
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
