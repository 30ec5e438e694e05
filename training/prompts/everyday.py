"""Writes prompts of everyday kinds as JSON lines: questions, advice, small talk, letters, lists, sums, code.

    python training/prompts/everyday.py 6000 SEED > everyday.jsonl

Public sets of prompts are long in tasks and short in what people ask in passing; these fill that gap. Each is
one of the patterns below with words from the lists, in an order that follows from the seed.
"""

from __future__ import annotations

import json
import random
import sys

PLACES = """Paris; Rome; Tokyo; Cairo; Lisbon; Berlin; Athens; Vienna; Prague; Dublin; Oslo; Madrid; Istanbul; Mumbai; Nairobi;
Sydney; Toronto; Boston; Chicago; New Orleans; San Francisco; Mexico City; Lima; Buenos Aires; Seoul; Bangkok; Hanoi; Iceland;
Scotland; Norway; Portugal; Greece; Morocco; Kenya; Peru; Brazil; Japan; India; Vietnam; New Zealand; the Alps; the Sahara;
Patagonia; the Amazon; the Black Forest; the Scottish Highlands; a small village by the sea""".split(";")
THINGS = """the moon; the sun; a rainbow; lightning; thunder; snow; hail; fog; an earthquake; a volcano; a tsunami; a hurricane; a desert;
a glacier; a coral reef; a rainforest; a river delta; a black hole; a comet; a galaxy; a star; an eclipse; gravity; magnetism;
electricity; friction; sound; light; heat; pressure; energy; an atom; a molecule; a cell; a gene; a virus; a bacterium; an enzyme;
a vitamin; a hormone; a protein; the heart; the liver; the brain; the immune system; the nervous system; a muscle; a bone; sleep;
memory; a battery; a magnet; a lens; a mirror; a telescope; a microscope; a thermometer; a compass; a clock; a bicycle; a car engine;
an electric motor; a jet engine; a rocket; a refrigerator; a microwave oven; a solar panel; a wind turbine; a nuclear reactor;
a computer; a processor; a hard disk; the internet; a web browser; a search engine; a database; an operating system; a compiler;
an algorithm; machine learning; a neural network; encryption; a password; a firewall; a printer; a camera; a radio; a television;
a telephone; a satellite; GPS; a bridge; a dam; a skyscraper; a tunnel; a lighthouse; a windmill; concrete; steel; glass; plastic;
paper; soap; salt; sugar; yeast; cheese; yoghurt; chocolate; coffee; tea; wine; vinegar; honey; silk; cotton; wool; rubber; gold;
diamond; oil; coal; natural gas; inflation; interest; a stock; a bond; insurance; a tax; a mortgage; a budget; a currency; a bank;
supply and demand; a monopoly; democracy; a constitution; a parliament; a court; a treaty; the Roman Empire; the Renaissance;
the Industrial Revolution; the French Revolution; the Cold War; the Silk Road; the Black Death; the printing press; the steam engine;
the pyramids; the Great Wall of China; the Olympic Games; chess; football; tennis; yoga; meditation; jazz; an opera; a symphony;
a sonnet; a haiku; a novel; a fable; a myth; impressionism; photography; photosynthesis; evolution; natural selection; fermentation;
erosion; the water cycle; the carbon cycle; plate tectonics; the greenhouse effect; the ozone layer; biodiversity; pollination;
migration of birds; hibernation; camouflage; a food chain; an ecosystem; recycling; compost; a prime number; a fraction; a logarithm;
a derivative; probability; the Pythagorean theorem; a triangle; pi; zero; a negative number; a percentage; an average""".split(";")
ANIMALS = """dogs; cats; horses; cows; sheep; goats; pigs; chickens; ducks; owls; eagles; penguins; parrots; crows; bees; ants; spiders;
butterflies; frogs; snakes; turtles; crocodiles; sharks; whales; dolphins; octopuses; salmon; elephants; lions; tigers; bears; wolves;
foxes; rabbits; squirrels; mice; bats; kangaroos; koalas; monkeys; gorillas; giraffes; zebras; camels; snails; jellyfish""".split(";")
SKILLS = """cooking; baking bread; gardening; knitting; sewing; drawing; painting; photography; playing the guitar; playing the piano; singing;
dancing; swimming; running; cycling; climbing; hiking; skiing; chess; writing; public speaking; reading faster; learning a language;
typing; programming; web design; saving money; investing; time management; note taking; studying for exams; sleeping well; meditation;
stretching; lifting weights; losing weight; eating healthily; making friends; listening; negotiating; leading a team; job interviews;
writing a resume; cleaning the house; organising a desk; packing a suitcase; repairing a bicycle; changing a tyre; painting a wall;
training a dog; keeping fish; growing tomatoes; growing herbs; making candles; brewing coffee; making pasta; making soup; woodworking;
pottery; calligraphy; juggling; origami; bird watching; star gazing; fishing; camping; sailing; surfing; driving""".split(";")
DISHES = """pancakes; an omelette; tomato soup; chicken soup; vegetable curry; fried rice; pizza dough; lasagne; spaghetti; mashed potatoes;
roast chicken; a green salad; potato salad; apple pie; chocolate cake; banana bread; oatmeal cookies; a smoothie; hummus; guacamole;
scrambled eggs; French toast; chilli; a stew; risotto; sushi; tacos; a sandwich; lemonade; iced tea; hot chocolate; pea soup; dumplings;
muffins; waffles; a fruit salad; pesto; salsa; roast vegetables; a cheese plate""".split(";")
PEOPLE = """my brother; my sister; my mother; my father; my grandmother; my grandfather; my best friend; my neighbour; my colleague; my boss;
my teacher; my roommate; my cousin; my son; my daughter; my partner; a new classmate; an old friend; a customer; my landlord""".split(";")
FEELINGS = """tired; nervous; bored; lonely; stressed; happy; proud; sad; angry; confused; excited; worried; homesick; hopeful; overwhelmed;
curious; grateful; jealous; guilty; restless; inspired; shy""".split(";")
EVENTS = """a birthday party; a wedding; a job interview; a first date; an exam; a long flight; a move to a new flat; a school trip; a picnic;
a family dinner; a business meeting; a concert; a camping trip; a marathon; a presentation; a holiday; a garden party; a book club;
a movie night; a farewell party; a parents' evening; a fundraiser; a game night; a housewarming""".split(";")
PROFESSIONS = """a nurse; a doctor; a teacher; a farmer; a baker; a carpenter; an electrician; a plumber; a pilot; a sailor; a firefighter;
a police officer; a lawyer; a judge; a journalist; a photographer; a musician; an actor; a painter; a writer; a librarian; a chef;
a waiter; a gardener; an architect; an engineer; a programmer; a scientist; an astronaut; a detective; a shopkeeper; a tailor""".split(";")
CODE = """reverses a string; counts the vowels in a text; checks whether a number is even; finds the largest number in a list; sums a list of
numbers; removes duplicates from a list; sorts words by length; checks whether a word is a palindrome; computes a factorial; prints the
first Fibonacci numbers; converts Celsius to Fahrenheit; counts words in a file; reads a CSV file; finds prime numbers below a limit;
merges two sorted lists; computes the mean and median; flattens a nested list; searches a sorted list; counts how often each letter
occurs; generates a random password; validates an email address; rolls two dice; plays rock, paper, scissors; converts a number to
binary; finds the greatest common divisor; finds the longest word; rotates a list; checks for balanced brackets; groups words by
their first letter; computes compound interest; prints a multiplication table; draws a triangle of stars; finds missing numbers in a
range; swaps keys and values of a dictionary; splits a list into chunks; capitalises every word; parses a date; downloads a web page;
writes a log file; measures how long a function takes; retries a function that fails; caches results; implements a stack;
implements a queue; implements a linked list; implements a binary tree""".split(";")
LANGUAGES = ["Python", "JavaScript", "Python", "Java", "C", "C++", "Go", "Rust", "SQL", "Bash", "TypeScript", "Python"]
NAMES = "Anna Ben Clara David Ella Finn Greta Hugo Ida Jonas Kira Leo Mia Noah Olga Paul Rosa Sam Tara Viktor".split()
GOODS = "apples; pencils; books; tickets; cookies; marbles; stamps; bottles of juice; postcards; eggs; tiles; plants; coins".split(";")

QUESTIONS = [
    "What is {thing}?", "How does {thing} work?", "Why is {thing} important?", "Explain {thing} in simple terms.",
    "Explain {thing} to a ten-year-old.", "What are some facts about {thing}?", "Who first understood {thing}?",
    "What would happen without {thing}?", "Describe {thing} in one paragraph.", "What do people often get wrong about {thing}?",
    "Give me three examples of how {thing} matters in daily life.", "What is the difference between {thing} and {thing2}?",
    "How are {thing} and {thing2} related?", "What is the history of {thing}?", "How would you teach {thing} in school?",
    "Why do {animals} sleep?", "What do {animals} eat?", "How do {animals} communicate?", "Where do {animals} live?",
    "How long do {animals} live?", "Are {animals} intelligent?", "What is special about {animals}?",
    "What is the difference between {animals} and {animals2}?", "Tell me five facts about {animals}.",
    "What is {place} known for?", "What is the best time of year to visit {place}?", "What should I see in {place}?",
    "What do people eat in {place}?", "Tell me about the history of {place}.", "What does {profession} do all day?",
    "How do you become {profession}?", "What are the pros and cons of being {profession}?",
]
ADVICE = [
    "I want to get better at {skill}. Where should I start?", "Give me some tips for {skill}.", "How can I learn {skill} in a month?",
    "What are common mistakes in {skill}?", "What do I need for {skill}?", "Is {skill} hard to learn?", "Why do people like {skill}?",
    "I'm {feeling} today. What can I do?", "I feel {feeling} before {event}. Any advice?", "How do I cheer up {person}?",
    "{Person} is {feeling} and I don't know what to say.", "What should I bring to {event}?", "How do I prepare for {event}?",
    "Help me plan {event}.", "What can I give {person} for a birthday?", "How do I say no to {person} politely?",
    "{Person} and I had an argument. How can I make it up?", "How do I make {dish}?", "Give me a simple recipe for {dish}.",
    "What goes well with {dish}?", "I have an hour and little money. What can I cook besides {dish}?",
    "Plan three days in {place} for me.", "What should I pack for a week in {place}?", "I will travel to {place} with {person}. Any ideas?",
]
TALK = [
    "Hi! How are you today?", "Good morning! I'm {feeling}.", "Hello, my name is {name} and I like {skill}.",
    "I just came back from {place}. Ask me something about it!", "Do you prefer {animals} or {animals2}?", "Have you ever tried {skill}?",
    "Tell me something interesting about {place}.", "I had {dish} for lunch. What did you have?", "What is your opinion of {skill}?",
    "I think {animals} are the best animals. Do you agree?", "Tell me a joke about {animals}.", "Let's talk about {thing}.",
    "Today I went to {event} with {person}. It was wonderful.", "I'm thinking of becoming {profession}. What do you think?",
    "What would you do if you lived in {place}?", "Can you help me with {skill}? I'm {feeling} about it.", "Thank you, that helped a lot!",
    "If you were {profession}, what would your day look like?", "I can't decide between {skill} and {skill2}. What would you choose?",
]
WRITING = [
    "Write a short email to {person} about {event}.", "Write a polite letter to {person} to apologise for missing {event}.",
    "Write an invitation to {event}.", "Write a thank-you note to {person} after {event}.", "Write a short story about {profession} in {place}.",
    "Write a poem about {animals}.", "Write a haiku about {thing}.", "Write a short story about {animals} and {animals2}.",
    "Write a dialogue between {profession} and {profession2}.", "Write a speech for {event}.", "Write a product description for {dish}.",
    "Write a paragraph that compares {place} and {place2}.", "Write a diary entry of {profession} in {place}.",
    "Write a limerick about {profession}.", "Make a to-do list for {event}.", "List ten ideas for {event}.", "List five reasons to learn {skill}.",
    "Give me seven names for a blog about {skill}.", "Make a weekly plan for {skill}.", "Make a table of pros and cons of {skill}.",
    "Write a news report about {animals} seen in {place}.", "Write the first paragraph of a novel set in {place}.",
    "Write an advertisement for a course in {skill}.", "Write a review of a restaurant in {place} that serves {dish}.",
    "Suggest a title and an outline for an essay about {thing}.", "Write a quiz of five questions about {thing}, with answers.",
    "Write a children's story in which {name} learns about {thing}.", "Rewrite this more politely: I can't come to {event}, I'm too {feeling}.",
    "Rewrite this sentence as a question: {name} likes {skill} and {skill2}.", "Correct the mistakes: {name} go to {place} last year with {person}.",
]
SUMS = [
    "{name} has {a} {goods} and gives {b} to {name2}. How many are left?", "{name} buys {b} {goods} for {c} dollars each. How much is that?",
    "A train travels {a} kilometres in {c} hours. How fast is it?", "What is {a} plus {b}?", "What is {a} times {c}?", "What is {p} percent of {a}?",
    "Solve {c}x + {b} = {a} and explain each step.", "A room is {b} metres long and {c} metres wide. What is its area?",
    "{name} reads {b} pages a day. How long does a book of {a} pages take?", "Divide {a} by {c} and give the remainder.",
    "{name}, {name2} and a friend share {a} {goods} equally. How many does each get?", "Is {a} a prime number? Show why.",
    "A shirt costs {a} dollars and is reduced by {p} percent. What is the new price?", "What is the average of {a}, {b} and {c}?",
    "Find the greatest common divisor of {a} and {b}.", "Simplify the fraction {b}/{a}.", "A circle has a radius of {c} centimetres. Find its area.",
    "How many minutes are {c} hours and {b} minutes?", "{name} saves {b} dollars a week. How much is it after {c} months?",
]
CODING = [
    "Write a {language} function that {code}.", "Write a {language} program that {code}, and explain it.", "How do I write code in {language} that {code}?",
    "Show me a simple {language} example that {code}.", "Write a test for a {language} function that {code}.",
    "Explain step by step how a program {code}.", "What could go wrong in a {language} function that {code}?",
    "Write a class in {language} that {code}.",
]
KINDS = [(QUESTIONS, 6), (ADVICE, 5), (TALK, 4), (WRITING, 5), (SUMS, 3), (CODING, 3)]


def one_prompt(draw: random.Random) -> str:
    (patterns,) = draw.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])
    person = _of(draw, PEOPLE)
    name, other = draw.sample(NAMES, 2)
    return draw.choice(patterns).format(
        thing=_of(draw, THINGS), thing2=_of(draw, THINGS), animals=_of(draw, ANIMALS), animals2=_of(draw, ANIMALS),
        place=_of(draw, PLACES), place2=_of(draw, PLACES), profession=_of(draw, PROFESSIONS),
        profession2=_of(draw, PROFESSIONS), skill=_of(draw, SKILLS), skill2=_of(draw, SKILLS), feeling=_of(draw, FEELINGS),
        event=_of(draw, EVENTS), person=person, Person=person[0].upper() + person[1:], dish=_of(draw, DISHES), name=name,
        name2=other, goods=_of(draw, GOODS), a=draw.randint(40, 500), b=draw.randint(11, 39), c=draw.randint(2, 10),
        p=draw.randrange(5, 80, 5), language=draw.choice(LANGUAGES), code=_of(draw, CODE),
    )


def _of(draw: random.Random, words: list[str]) -> str:
    return " ".join(draw.choice(words).split())


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(seed)
    prompts: dict[str, None] = {}
    while len(prompts) < count:
        prompts[one_prompt(draw)] = None
    for prompt in prompts:
        print(json.dumps({"prompt": prompt}))


if __name__ == "__main__":
    main()
