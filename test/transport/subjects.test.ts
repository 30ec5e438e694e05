import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { SubjectError } from "../../transport/errors.ts";
import { checkPattern, patternsOverlap, subjectMatches } from "../../transport/subject-match.ts";
import {
  ANY,
  checkName,
  drafterSubject,
  draftSubject,
  eventSubject,
  hostSubject,
  parseDraft,
  parseEvent,
  parseHost,
  parseSession,
  parseStage,
  parseTree,
  type SessionVerb,
  sessionSubject,
  stageSubject,
  treeSubject,
} from "../../transport/subjects.ts";

const name = fc.stringMatching(/^[a-z0-9_-]{1,64}$/);
const number = fc.nat({ max: 0xffff_ffff });
const verb = fc.constantFrom<SessionVerb>("open", "commit", "cancel", "end");
const address = fc.record({
  mesh: name,
  sid: name,
  epoch: number,
  stage: number,
  verb,
  host: name,
  kind: name,
});

const PARSERS = { parseSession, parseStage, parseDraft, parseTree, parseEvent, parseHost };

describe("subjects", () => {
  test("are spelt as documented", () => {
    expect([
      sessionSubject("home", "s1", "commit"),
      stageSubject("home", 7, 2, "s1"),
      draftSubject("home", 7, "s1"),
      draftSubject("home", 7, "s1", "phrase-book"),
      drafterSubject("home", "phrase-book"),
      treeSubject("home", 7, "s1"),
      eventSubject("home", "placement"),
      hostSubject("home", "attic", "drain"),
    ]).toEqual([
      "flow.home.session.s1.commit",
      "flow.home.e7.stage.2.s1",
      "flow.home.e7.draft.s1",
      "flow.home.e7.draft-phrase-book.s1",
      "flow.home.drafter.phrase-book",
      "flow.home.e7.tree.s1",
      "flow.home.event.placement",
      "flow.home.host.attic.drain",
    ]);
  });

  test("each is parsed back by its own parser and by no other", async () => {
    await fc.assert(
      fc.property(address, ({ mesh, sid, epoch, stage, verb, host, kind }) => {
        const cases: [keyof typeof PARSERS, string, object][] = [
          ["parseSession", sessionSubject(mesh, sid, verb), { mesh, sid, verb }],
          ["parseStage", stageSubject(mesh, epoch, stage, sid), { mesh, epoch, stage, sid }],
          ["parseDraft", draftSubject(mesh, epoch, sid), { mesh, epoch, sid }],
          ["parseDraft", draftSubject(mesh, epoch, sid, "own"), { mesh, epoch, sid, drafter: "own" }],
          ["parseTree", treeSubject(mesh, epoch, sid), { mesh, epoch, sid }],
          ["parseEvent", eventSubject(mesh, kind), { mesh, kind }],
          ["parseHost", hostSubject(mesh, host, kind), { mesh, host, verb: kind }],
        ];
        for (const [own, subject, parts] of cases) {
          for (const [other, parse] of Object.entries(PARSERS)) {
            const parsed: object | undefined = parse(subject);
            expect(parsed).toEqual(other === own ? parts : undefined);
          }
        }
      }),
    );
  });

  test("patterns match every subject of their builder and are no subjects themselves", async () => {
    await fc.assert(
      fc.property(address, ({ mesh, sid, epoch, stage, host, kind }) => {
        const pairs: [string, string][] = [
          [sessionSubject(mesh, ANY, "commit"), sessionSubject(mesh, sid, "commit")],
          [sessionSubject(mesh, sid, ANY), sessionSubject(mesh, sid, "end")],
          [stageSubject(mesh, epoch, stage, ANY), stageSubject(mesh, epoch, stage, sid)],
          [stageSubject(mesh, ANY, ANY, ANY), stageSubject(mesh, epoch, stage, sid)],
          [draftSubject(mesh, epoch, ANY), draftSubject(mesh, epoch, sid)],
          [draftSubject(mesh, epoch, ANY, "own"), draftSubject(mesh, epoch, sid, "own")],
          [treeSubject(mesh, epoch, ANY), treeSubject(mesh, epoch, sid)],
          [eventSubject(mesh, ANY), eventSubject(mesh, kind)],
          [hostSubject(mesh, host, ANY), hostSubject(mesh, host, kind)],
        ];
        for (const [pattern, subject] of pairs) {
          expect(() => checkPattern(pattern)).not.toThrow();
          expect(subjectMatches(pattern, subject)).toBe(true);
          expect(Object.values(PARSERS).map((parse) => parse(pattern))).toEqual(Array(6).fill(undefined));
        }
      }),
    );
  });

  test("names and numbers that can't be in a subject are refused", () => {
    for (const bad of ["", "Home", "a.b", "a b", ">", "ü", "x".repeat(65), "a\n"]) {
      expect(() => sessionSubject(bad, "s", "open")).toThrow(SubjectError);
      expect(() => treeSubject("home", 1, bad)).toThrow(SubjectError);
      expect(() => checkName(bad, "host")).toThrow(SubjectError);
    }
    expect(() => checkName(ANY, "host")).toThrow(SubjectError);
    for (const bad of [-1, 1.5, Number.NaN, 2 ** 32]) {
      expect(() => stageSubject("home", bad, 0, "s")).toThrow(SubjectError);
      expect(() => stageSubject("home", 0, bad, "s")).toThrow(SubjectError);
    }
  });

  test("look-alikes are not parsed", () => {
    for (const subject of [
      "",
      "flow.home.session.s1",
      "flow.home.session.s1.commit.more",
      "flow.home.session.s1.begin",
      "flow.HOME.session.s1.commit",
      "flow.home.session..commit",
      "other.home.session.s1.commit",
      "flow.home.7.stage.2.s1",
      "flow.home.e07.stage.2.s1",
      "flow.home.e7.stage.-2.s1",
      "flow.home.e4294967296.stage.2.s1",
      "flow.home.e.tree.s1",
    ]) {
      expect(Object.values(PARSERS).map((parse) => parse(subject))).toEqual(Array(6).fill(undefined));
    }
  });
});

describe("matching", () => {
  const tokens = (symbols: string) => fc.array(fc.constantFrom(...symbols), { minLength: 1, maxLength: 4 });
  const pattern = fc
    .tuple(tokens("ab*"), fc.boolean())
    .map(([list, open]) => [...list, ...(open ? [">"] : [])].join("."));
  const grow = (prefix: string): string[] =>
    prefix.length > 10 ? [] : [prefix, ...grow(`${prefix}.a`), ...grow(`${prefix}.b`)];
  const subjects = [...grow("a"), ...grow("b")];

  /** A pattern as a regular expression: an oracle of its own. */
  const toRegExp = (from: string) =>
    new RegExp(`^${from.replaceAll(".", "\\.").replaceAll("*", "[^.]+").replace(">", ".+")}$`);

  test("agrees with a regular expression", async () => {
    await fc.assert(
      fc.property(pattern, (given) => {
        const oracle = toRegExp(given);
        for (const subject of subjects) expect(subjectMatches(given, subject)).toBe(oracle.test(subject));
      }),
    );
  });

  test("two patterns overlap exactly when some subject matches both", async () => {
    await fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        const both = subjects.some(
          (subject) => subjectMatches(left, subject) && subjectMatches(right, subject),
        );
        expect(patternsOverlap(left, right)).toBe(both);
      }),
      { numRuns: 300 },
    );
  });
});
