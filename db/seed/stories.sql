-- What the news is made of: seven stories a topic. A story has a headline for its section, a title and a summary. There
-- {town} stands for one word of that slot and {town2} for another one, {12-40} for a whole number from 12 to 40, and
-- {third|fourth} for either; within one telling a slot always means the same. Every place, body, paper and event is
-- invented.

CREATE TEMP TABLE seed_slot (name text PRIMARY KEY, words text[] NOT NULL);
INSERT INTO seed_slot (name, words) VALUES
('town', '{Harrowmere,Port Ellery,Quillhaven,Tamsin Bay,Vellmark,Lowfield,Ostermoor,Saint Brannoc,Calder Reach,
Nueva Alameda,Kirravale,Oldersund,Pellworth,Marisola,Tarnwick}'),
('region', '{the Vellmark valley,the Ostermoor uplands,the Ellery coast,the Kirra plateau,the Brannoc islands,
the Calder lowlands,the Alameda delta,the Tarnwick lakes}'),
('institute', '{Quillhaven University,the Kirravale Research Centre,the Vellmark Academy,the University of Tamsin Bay,
the Ostermoor Polytechnic,the Calder Reach Institute,the Oldersund School of Science}'),
('weekday', '{Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday}'),
('month', '{March,April,May,June,September,October}'),
('family', '{the Okoro-Lindqvist family,a retired schoolteacher,two sisters,a former ferry captain,
three old classmates,a young couple}');

CREATE TEMP TABLE seed_source (number integer PRIMARY KEY, name text NOT NULL, host text NOT NULL);
INSERT INTO seed_source (number, name, host) VALUES
(0, 'The Harrowmere Courier', 'harrowmere-courier'),
(1, 'Port Ellery Gazette', 'port-ellery-gazette'),
(2, 'The Quillhaven Review', 'quillhaven-review'),
(3, 'Tamsin Bay Herald', 'tamsin-bay-herald'),
(4, 'The Vellmark Observer', 'vellmark-observer'),
(5, 'Ostermoor Evening Letter', 'ostermoor-letter'),
(6, 'Calder Reach Dispatch', 'calder-reach-dispatch'),
(7, 'The Kirravale Almanac', 'kirravale-almanac'),
(8, 'Oldersund Tidende', 'oldersund-tidende'),
(9, 'El Mensajero de Marisola', 'mensajero-de-marisola');

CREATE TEMP TABLE seed_topic (slug text PRIMARY KEY, label text NOT NULL);
INSERT INTO seed_topic (slug, label) VALUES
('world', 'World'),
('economy', 'Economy'),
('technology', 'Technology'),
('science', 'Science'),
('space', 'Space'),
('climate', 'Climate'),
('health', 'Health'),
('cities', 'Cities'),
('culture', 'Culture'),
('books', 'Books'),
('music', 'Music'),
('food', 'Food and drink'),
('travel', 'Travel'),
('sport', 'Sport'),
('gardening', 'Gardening');

CREATE TEMP TABLE seed_story (slug text, number integer, text text NOT NULL, PRIMARY KEY (slug, number));
INSERT INTO seed_story (slug, number, text) VALUES
('world', 0, 'Talks resume over a shared river
Neighbours agree to share flood warnings from {region}
Delegations meeting in {town} settled on a common set of gauges, to be read every {10-30} minutes. The harder
question, who may draw how much water in a dry year, was put off until the {month} round.'),
('world', 1, 'Polling day passes quietly
Turnout reaches {58-79} per cent in a calm regional vote
Observers visited {120-340} polling stations and reported short queues and few complaints. A final count is expected
by {weekday}, once ballots from the outlying districts have arrived by boat.'),
('world', 2, 'A border crossing opens again
After {6-19} years, the road between {town} and {town2} reopens
The first vehicle across was a bakery van, followed by a long line of families. Customs officers say that they will
keep the crossing open from dawn to dusk until a second lane is ready in {month}.'),
('world', 3, 'Relief reaches the valleys
Convoys bring {200-900} tonnes of supplies to {region}
Engineers cleared the last landslide on {weekday}, which let lorries through for the first time in {8-16} days.
Medical teams say that clean water is now the most pressing need.'),
('world', 4, 'Harbours in the dark
Ports near {town} agree to dim their lights for migrating birds
The pact asks harbours to lower floodlights for {20-45} nights each spring. A trial in {town2} cut the number of
stranded birds by {31-64} per cent without a single delayed ship.'),
('world', 5, 'A ship''s register goes public
Who owns the ferries of {region}? Now anyone can look it up
The new register lists {80-340} vessels with their owners and inspections. Harbour masters asked for it after an
accident in which nobody could say for {9-20} days whom to call.'),
('world', 6, 'Observers for a distant vote
{town} sends {14-60} volunteers to watch an election abroad
They are teachers, nurses and clerks who have taken a fortnight''s leave. Each will visit one district, count the
ballots with the locals, and write down what they see.'),
('economy', 0, 'Prices rise more slowly
Inflation eases for the {third|fourth|fifth|sixth} month running
Cheaper energy and a good harvest held the annual rate to {2-3}.{1-9} per cent, according to the statistics office in
{town}. Rents were the exception, and rose faster than in the month before.'),
('economy', 1, 'Small firms take on staff
Workshops around {town} are hiring again
A survey of {310-890} employers found that {38-57} per cent plan to add staff before {month}. Most are looking for
electricians, carers and drivers, and many now offer to pay for the training.'),
('economy', 2, 'The port counts its containers
Trade through {town} grows by {3-9} per cent
Dockers handled more grain and timber than in any quarter of the past {5-14} years. The harbour board warns that the
rail link inland is close to its limit and wants a decision on a second track.'),
('economy', 3, 'Savers look at the small print
Why a {12-36}-month deposit may pay less than it promises
Consumer advisers in {town} compared {40-95} accounts and found that fees swallowed up to a third of the interest.
Their advice: ask what happens when the introductory rate ends.'),
('economy', 4, 'A cooperative buys its mill
Workers in {town} take over the paper mill that employs them
The {84-230} employees raised the money through a regional credit union and will elect their first board in {month}.
The order book is full until spring, helped by demand for recycled packaging.'),
('economy', 5, 'The four-day week, counted
{12-48} companies around {town} keep the shorter week
After a year''s trial, output per hour had risen by {4-9} per cent and sick leave had fallen. Shops and clinics found
it hardest, because somebody always has to be there.'),
('economy', 6, 'Rents, one street at a time
Why rents in {town} differ so much from door to door
An analysis of {2000-6000} leases shows that the year of signing matters more than the size of the flat. Tenants''
groups want new contracts to state what the last tenant paid.'),
('technology', 0, 'Repair gets easier
A public library of spare parts opens in {town}
Volunteers have drawn and tested {260-740} parts, from hinges to washing machine knobs, that anyone may print at
cost. The most requested item in the first week was the lid of a coffee grinder.'),
('technology', 1, 'Software for a slow connection
Ferry passengers off {town} get messages without a signal
Phones on board pass short notes from one to the next until one of them reaches the shore. In a trial over {4-9}
weeks, {91-98} per cent of messages arrived within the hour.'),
('technology', 2, 'Batteries get a second life
Old bus batteries now light the streets of {town}
The packs no longer pull a bus uphill, but they still hold about {61-78} per cent of their charge. The council
expects them to serve another {6-11} years, and to save the cost of a new cable.'),
('technology', 3, 'An open map of footpaths
{Hikers|Schools|Pensioners|Postal workers} help to map {4000-9000} kilometres of paths
The survey covers {region} and records stiles, steps and steep slopes, so that people with wheelchairs or prams can
plan ahead. The data are free to use and are checked each season.'),
('technology', 4, 'Passwords on the way out
{town} lets residents sign in without a password
Parking permits and library loans can now be managed with a passkey kept on a phone or a small token. Help desk calls
about forgotten passwords fell by {44-71} per cent in the first two months.'),
('technology', 5, 'A camera that forgets
Traffic counters in {town} no longer record faces
The sensors now send nothing but totals, every {5-15} minutes. An outside audit confirmed that the pictures are never
stored, and the plans are published for other towns to copy.'),
('technology', 6, 'Translation at the counter
Clerks in {town} try a translator for {14-38} languages
The device keeps no recordings and works without a network. In the first weeks it did well with addresses and dates,
and badly with jokes.'),
('science', 0, 'A longer memory for bees
Bumblebees remember a flower for {9-21} days, a field study finds
A team from {institute} marked {180-420} bees and offered them artificial flowers of several colours. Most came back
to the rewarding colour even after a spell of bad weather kept them in the nest.'),
('science', 1, 'What lake mud can tell
Sediment from {region} records {6-11} thousand years of storms
Each thick layer in the core marks a flood that washed soil off the hills. Researchers at {institute} say that the
wettest centuries came in clusters, which may help towns to plan their defences.'),
('science', 2, 'Glass that mends itself
A scratched pane heals in {20-55} minutes at room temperature
The material, made at {institute}, contains a soft layer that flows into fine cracks. It is not yet clear enough for
windows, but it could protect sensors and solar panels.'),
('science', 3, 'Listening to the forest
Microphones count {48-130} bird species in {region}
Recorders left in the woods for {14-40} days picked up owls and warblers that people on foot had missed. The method
costs little, and the recordings can be checked again by anyone who doubts a result.'),
('science', 4, 'A puzzle about ice, solved
Why some hailstones are clear and others white
By freezing droplets in a wind tunnel, physicists at {institute} found that the speed of cooling matters more than
dust. Their {3-7}-page paper ends a dispute that began {30-90} years ago.'),
('science', 5, 'The arithmetic of a flock
Starlings watch {5-8} neighbours, however large the flock
Three cameras on a roof in {town} followed single birds through the turns. The rule that {institute} found explains
how thousands of them can change course without a leader.'),
('science', 6, 'Rust that does some good
Iron filings take {46-82} per cent of arsenic out of well water
The filter, a bucket of sand and rusty iron, costs little and can be mended by its owner. A trial in {region} ran for
{8-20} months before the filings needed to be replaced.'),
('space', 0, 'A comet worth getting up for
Comet visible to the naked eye before dawn on {weekday}
Look low in the east about {40-75} minutes before sunrise, away from street lamps. Observers near {town} have already
seen a short tail, and binoculars show a faint green glow.'),
('space', 1, 'A small satellite phones home
Student satellite from {town} sends its first pictures
The cube is {10-30} centimetres across and was built over {3-6} years by pupils and teachers. Its camera will follow
the spread of algae in coastal waters.'),
('space', 2, 'Quiet skies for radio astronomy
{town} agrees to a zone of radio silence
Within {8-25} kilometres of the new dish, wireless equipment will run at reduced power. In return, the observatory
will open its doors to school classes on {12-40} days a year.'),
('space', 3, 'Dust from the early days
Meteorite found near {town} is older than the planets
Tests at {institute} show grains that formed before the Sun had settled down. The {120-680}-gram stone was picked up
by a farmer who noticed that it stuck to her magnet.'),
('space', 4, 'A telescope gets new eyes
Fresh mirror lets {institute} see {3-8} times fainter
The old coating had lost its shine after {11-24} winters. First light brought a sharp view of two galaxies that are
passing through one another, and a queue of astronomers asking for time.'),
('space', 5, 'The Moon passes in front
Saturn slips behind the Moon for {31-68} minutes
The planet will vanish at the dark edge on {weekday} evening and come out on the bright side. A small telescope shows
the rings going first.'),
('space', 6, 'A calendar for sunspots
Amateurs in {town} have drawn the Sun every day for {26-70} years
Their notebooks are now in the archive of {institute}. Because the method never changed, they fill gaps that better
instruments had left.'),
('climate', 0, 'Trees against the heat
Shade lowers summer streets in {town} by {3-7} degrees
Sensors on {60-180} lamp posts compared planted streets with bare ones through the hottest weeks. The largest gain
came where old trees stood close together, which argues for protecting those first.'),
('climate', 1, 'Peat bogs fill up again
Blocked ditches bring water back to {region}
Wardens closed {130-410} old drains with peat and timber. Within {2-5} years the moss had returned, and the ground,
which used to give off carbon, has begun to store it.'),
('climate', 2, 'Wind carries the night
For {9-31} hours, {town} ran on wind alone
The grid operator kept gas plants on standby but did not need them. Demand was low on {weekday}, it cautions, and
storage will be needed before such nights become routine.'),
('climate', 3, 'A retreating shore
Villages near {town} debate where to move
The sea has taken {14-48} metres of beach in a generation. Residents favour moving the school and the clinic first,
{300-900} metres inland, and leaving the harbour where it is.'),
('climate', 4, 'Farmers try a drier calendar
Sowing {2-4} weeks earlier saves water in {region}
Trials on {22-67} farms kept yields steady with a fifth less irrigation. The drawback is the risk of late frost, for
which growers want a shared insurance fund.'),
('climate', 5, 'Snow arrives later
First snow falls {9-23} days later than it used to in {region}
The figure comes from the diaries of railway stations, kept since the line was opened. Spring has moved less, so that
the cold season is shorter at one end only.'),
('climate', 6, 'Warm water under the pavement
{town} heats {400-1700} homes from its own sewers
A heat pump cools the waste water by {3-6} degrees before it is cleaned. The pipes follow the old tram line, which
saved digging up the high street.'),
('health', 0, 'A walk after dinner
{10-20} minutes of walking helps to steady blood sugar
Doctors at a clinic in {town} followed {210-640} volunteers for a season. Those who walked soon after eating did
better than those who walked the same distance before breakfast.'),
('health', 1, 'Nurses on bicycles
Home visits by bicycle cut waiting times in {town}
A team of {12-35} nurses now reaches patients in the old quarter, where cars are slow and parking is scarce. The
average wait fell by {3-8} days, and the scheme will be extended in {month}.'),
('health', 2, 'Sleep and the school bell
Later lessons, better rested pupils
Schools around {town} moved the first bell by {30-50} minutes. Pupils slept longer on school nights rather than
staying up later, and teachers counted {18-34} per cent fewer late arrivals.'),
('health', 3, 'A simple test for hearing
Pharmacies in {region} offer free hearing checks
The test takes {5-9} minutes with a pair of calibrated headphones. In the pilot, one visitor in {4-7} was advised to
see a specialist, most of them people who had not noticed any change.'),
('health', 4, 'Singing for the lungs
Choir practice eases breathing in a small trial
Over {10-16} weeks, {45-120} people with long-term breathlessness sang together twice a week. Researchers at
{institute} call the effect modest but real, and note that hardly anyone dropped out.'),
('health', 5, 'Fresh air in the classroom
Open windows, fewer colds
{20-70} classrooms around {town} were given a small meter that turns red when the air is stale. Over the winter their
pupils missed {11-26} per cent fewer days than those next door.'),
('health', 6, 'Less salt, by degrees
Bakers cut salt by {15-30} per cent, and hardly anyone notices
The change was spread over {8-14} months. In a blind tasting at {institute}, most people preferred the new loaf, and
many thought that it was the old one.'),
('cities', 0, 'Streets without through traffic
{town} closes {14-46} streets to through traffic
Residents can still drive to their doors, but short cuts are blocked with planters and benches. The council promises
to publish traffic and air quality figures every {6-12} weeks.'),
('cities', 1, 'The night bus returns
Hourly night buses link {town} with {town2} again
The service had been cut {4-9} years ago. Hospital staff and bakers campaigned for it, and the first timetable was
drawn around the hours when their shifts end.'),
('cities', 2, 'Homes above the shops
Empty upper floors in {town} become {90-260} flats
Grants cover fire doors and separate stairs, the two obstacles that owners named most often. The first tenants, among
them {family}, moved in on {weekday}.'),
('cities', 3, 'A square gets its water back
The buried stream in {town} sees daylight after {60-110} years
Workers removed a car park to uncover {180-450} metres of brick channel. Engineers expect the open water to cool the
square in summer and to take up heavy rain.'),
('cities', 4, 'Benches, and where to put them
Older residents redraw the benches of {town}
After walking the district with planners, they asked for a seat every {80-150} metres and a handrail on the steps.
Both are in the budget for {month}.'),
('cities', 5, 'Rain on the roof
{90-400} roofs in {town} are to be planted
Stonecrop and thyme will hold back the first rain of a storm, which has flooded the lower streets in recent years.
Owners who join pay a lower drainage fee.'),
('cities', 6, 'A bridge for walking
Footbridge saves {town} a detour of {12-35} minutes
The timber span was lifted into place overnight by two cranes. Schools on either bank have already exchanged
invitations.'),
('culture', 0, 'A museum lends its stores
{town} museum lets residents borrow from its stores
About {700-1900} prints and small sculptures may be hung at home for {8-14} weeks. The curators began with works that
had not been shown for a generation.'),
('culture', 1, 'A theatre under the bridge
Travelling company brings a comedy to {town}
The stage folds out of {2-4} lorries, and the audience sits on the river steps. Tickets for the {9-24} performances
are sold on the day, at whatever price the visitor chooses.'),
('culture', 2, 'A fresco behind the plaster
Restorers in {town} uncover a painted ceiling
The work, about {240-480} years old, shows the months of the year with the trades of the town. It had been covered
after a fire, and will be visible from a scaffold on {weekday}s.'),
('culture', 3, 'An archive of voices
{120-380} hours of dialect recordings go online
The tapes were made in kitchens and workshops around {region}. Linguists at {institute} have transcribed them with
the help of the grandchildren of those who speak.'),
('culture', 4, 'A cinema saved by its seats
Every seat in the {town} cinema now has a patron
When the projector failed, {family} started a collection that reached its goal in {11-29} days. The reopening night
shows silent films with a live pianist.'),
('culture', 5, 'The last sign painter
An apprentice at last for the sign painter of {town}
She answered a notice that had hung in the window for {3-11} years. Together they are repainting the names above
{24-60} shops, each in the lettering that it had first.'),
('culture', 6, 'A festival in living rooms
{30-95} living rooms in {town} become stages for a night
Neighbours move the sofa, and actors bring a scene that lasts a quarter of an hour. The audience walks from house to
house and is asked to bring its own slippers.'),
('books', 0, 'A first novel set at sea
The lighthouse novel that booksellers keep pressing on people
Set over {7-19} nights on a rock off {town}, it has two characters and one secret. Our reviewer found the ending
abrupt and the {150-290} pages before it faultless.'),
('books', 1, 'Translation prize
Translators share a prize for a {600-1100}-page family saga
The jury in {town} praised a version that keeps the jokes of the original and its long, winding sentences. The two
winners worked on it for {4-8} years, mostly by post.'),
('books', 2, 'A library on the tram
Line {3-19} in {town} carries a shelf of books
Passengers may take one and leave it at any stop. Of the first {400-1200} books about half have come back, which the
librarians call better than expected.'),
('books', 3, 'A history of ordinary things
How the button travelled the world
This short history follows one workshop in {town} through {120-260} years of fashion, war and trade. It is at its
best when the author lets the account books speak.'),
('books', 4, 'Poems for the waiting room
{town} hospital prints a poem on every appointment card
Patients voted for the {30-75} poems, and the shortest ones won. A second series, chosen by the night staff, will
appear in {month}.'),
('books', 5, 'Letters between two gardeners
{120-310} letters about rain, grief and beans
The correspondence began with a mistaken delivery of seed potatoes to {town}. It makes a quiet, funny book, best read
a few letters at a time.'),
('books', 6, 'A bookshop changes hands
New owners for the bookshop in {town}
It is now run by {family}, who promise to keep the stove, the cat and the section of books that nobody has ever
bought. They mean to open on {weekday} evenings as well.'),
('music', 0, 'An orchestra opens its rehearsals
Listeners may now sit among the players in {town}
On {weekday} evenings, {20-60} chairs are placed between the desks. Those who sat beside the horns say that they will
never again hear the piece in the same way.'),
('music', 1, 'Songs from the islands
A new recording gathers {17-34} work songs of {region}
The singers are fishers and weavers, the youngest of them {14-19}. The album was made in one afternoon, in a boat
shed, and the rain on its roof has been left in.'),
('music', 2, 'An organ learns to breathe
{town} hears its organ again after {9-27} years
Volunteers cleaned {1400-3600} pipes by hand and found a swallow''s nest in the largest. The inaugural concert ranges
from a medieval dance to a piece written for the occasion.'),
('music', 3, 'Lessons at the market
Free violin lessons between the market stalls
A teacher in {town} lends {12-40} instruments to anyone who will practise for a month. Her oldest pupil is {71-88},
and has just played in public for the first time.'),
('music', 4, 'A quiet festival
The festival of {town} turns the volume down
For {3-6} days no concert will be amplified. Organisers expect {2000-5000} visitors, who will walk from courtyard to
courtyard with a map and a folding chair.'),
('music', 5, 'A bell is recast
The cracked bell of {town} rings again, a little lower
The foundry added {30-90} kilograms of bronze, and the note fell by less than a semitone. Older residents say that
they can tell, and that they like it.'),
('music', 6, 'Scores for small hands
A composer writes {24-48} pieces for children''s hands
None asks for more than a sixth, and each has a part that a parent can play badly. They were tried out in the music
school of {town} over two winters.'),
('food', 0, 'The bread of the week
A rye loaf that keeps for {6-12} days
A baker in {town} soaks stale crusts into the dough, which makes the crumb moist and the crust dark. The recipe needs
two days and very little work.'),
('food', 1, 'A good year for pears
Orchards in {region} expect {12-28} per cent more fruit
A cool spring delayed the blossom past the last frost. Growers are looking for pickers, and suggest poaching the
small, hard fruit with bay and pepper.'),
('food', 2, 'School lunches, cooked nearby
{14-42} schools around {town} cook their own lunch again
Kitchens buy from farms within {20-60} kilometres and let the pupils choose one dish a week. So far lentils with
fried onions are well ahead of pizza.'),
('food', 3, 'A cheese and its cellar
The hill cheese of {region} gets a protected name
Only milk from summer pastures may be used, and the wheels must rest for at least {8-18} months. About {30-70}
dairies meet the rules; most of them sell at the farm gate.'),
('food', 4, 'Soup for a cold evening
White beans, lemon and a whole head of garlic
This is what the ferry canteen in {town} has cooked on {weekday}s for {15-45} years. The trick is to add the lemon
peel in the last five minutes, and to let it rest before serving.'),
('food', 5, 'The case for the pressure cooker
Chickpeas in {25-40} minutes, without soaking
A cook from {town} tested the pot against the slow way, side by side. Tasters could not tell the beans apart, but
they preferred the broth from the slow one.'),
('food', 6, 'A harbour café
Breakfast with the crews in {town}
The kitchen opens at half past four and sells out of smoked mackerel by eight. There are {5-9} tables, and strangers
are expected to share.'),
('travel', 0, 'Slow trains worth taking
{town} to {town2} by the old coastal line
The journey takes {3-6} hours, and a car covers it in half the time. But the car does not stop at the beach halts, or
sell blackcurrant cake from a trolley.'),
('travel', 1, 'A path for the shoulder season
Walk {region} in {4-9} easy days
Hostels lie no more than {14-21} kilometres apart, and a post van carries the luggage. Early {month} is best, when
the huts have reopened and the paths are still quiet.'),
('travel', 2, 'Night trains
Sleeper service to {town} returns on {weekday}s
Berths are sold from {29-69} crowns, with a breakfast of rolls and strong coffee. The operator says that the first
{10-25} departures are already nearly full.'),
('travel', 3, 'An inn at the end of the road
{Six|Seven|Eight|Nine} rooms, no television, one very long table
The inn above {town} was reopened by {family}, who cook whatever the boats bring in. Guests eat together, which is
awkward for about {5-15} minutes.'),
('travel', 4, 'Ferries change their timetable
More crossings to {town} from {month}
A second ship brings the number of daily sailings to {5-11}. Cyclists no longer need to book, but cars should arrive
{30-60} minutes before departure.'),
('travel', 5, 'Off the boat and on the bicycle
Round {region} by bicycle in {3-6} days
The new signs keep to lanes that have hardly any cars, and the hills come in the morning. Farms along the way put out
cold milk and an honesty box.'),
('travel', 6, 'A museum worth the detour
The lock museum of {town} can be reached only by canal
Its {300-900} locks include one that nobody has ever opened. The keeper offers visitors a stool, a lamp and as much
time as they like.'),
('sport', 0, 'A late goal
{town} beat {town2} with the last kick
The winner came in added time, from a corner that half the crowd of {3000-9000} did not see because they were
leaving. It is the home side''s {4-8}th match without defeat.'),
('sport', 1, 'A record on the water
Rowers cross the strait off {town} in {9-17} hours
The crew of four were the first to finish the course under oars alone. They changed places every {20-40} minutes, and
lost only one hat.'),
('sport', 2, 'The hill race
A postwoman wins the {town} hill race at her {second|third|fourth|fifth} attempt
She finished {8-55} seconds ahead of a field of {180-460}, in rain that turned the descent to mud. She was back on
her round the next morning.'),
('sport', 3, 'Chess goes outdoors
{64-256} players meet on the squares of {town}
The open tournament runs until {weekday}, with a separate prize for the best game between a child and a grandparent.
Last year the final was decided by a single pawn.'),
('sport', 4, 'A stadium for everyone
{town} rebuilds its running track with the people who use it
The 400-metre track will have a lane for wheelchairs and prams, and lights that dim at ten. Clubs from {region}
have given {900-2400} hours of work.'),
('sport', 5, 'Winter swimming
{120-540} swimmers greet the cold at {town}
The water was {3-8} degrees, and the rule was to stay in for no longer than that many minutes. Soup was served by the
fire brigade.'),
('sport', 6, 'An old club learns a new game
Walking football fills the pitch in {town} again
The players, most of them over {60-70}, may not run, and argue about it constantly. There are now {6-14} teams in the
league of {region}.'),
('gardening', 0, 'Jobs for the week
Leave the leaves, says the park keeper of {town}
A layer of {5-12} centimetres feeds worms and shelters beetles through the cold. Rake the lawn if you must, but pile
the leaves under hedges rather than burning them.'),
('gardening', 1, 'A rose with a past
The lost rose of {region} flowers again
Cuttings from a churchyard wall were grown on by {family}. The flowers are small, pale and strongly scented, and last
for about {12-24} days.'),
('gardening', 2, 'Water, and less of it
How one garden in {town} gets by on rain
Two barrels, a shallow ditch and {8-20} centimetres of mulch have replaced the hose. The gardener reckons that he
saves {30-70} litres a day in summer, and an hour of his time.'),
('gardening', 3, 'Seeds on loan
Seed library lends {110-340} varieties of vegetable
Members in {town} take a packet in spring and bring one back in autumn. The rarest is a climbing bean that had been
kept in one family for {50-120} years.'),
('gardening', 4, 'Balcony harvest
{4-9} vegetables for a balcony that faces north
Lettuce, chard and peas did well in a trial at {institute}, and so did parsley. Tomatoes did not, whatever the label
says; give their pots to potatoes.'),
('gardening', 5, 'Moving a tree
When to move a tree, and when to leave it alone
A nursery near {town} has moved {140-600} of them and lost few. Dig in autumn, take more root than you think you
need, and water for {2-3} summers.'),
('gardening', 6, 'The compost question
What {40-120} compost heaps have in common
Gardeners around {town} kept a diary for a year. The quickest heaps were turned every {10-18} days and held twice as
much dry brown matter as green.');
